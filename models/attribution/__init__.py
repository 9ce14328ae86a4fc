"""What each feature contributed to a prediction, and how much a model relies on it."""
