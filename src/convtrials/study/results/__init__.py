"""What the runs of a study say: scores, verdict documents, costs, sentences."""
