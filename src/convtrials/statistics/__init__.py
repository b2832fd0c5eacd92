"""The statistics of a study: scores in, verdicts out. Knows NumPy and SciPy alone."""
