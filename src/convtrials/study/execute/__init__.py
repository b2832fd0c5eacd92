"""How the runs of a study are started, on which workers, and in what order."""
