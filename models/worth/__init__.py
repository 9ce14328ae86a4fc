"""What a model is worth in the unit of the KPI, against the baseline."""
