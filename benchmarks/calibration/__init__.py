"""Do verdicts keep their promises? Thousands of simulated studies with known truth."""
