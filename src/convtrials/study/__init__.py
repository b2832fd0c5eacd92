"""Plan -> executors -> statistics -> verdicts."""
