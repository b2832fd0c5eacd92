"""What a study will compare: study file, arms, plan."""
