"""What a use case declares: its features, windows, models, label and KPI."""
