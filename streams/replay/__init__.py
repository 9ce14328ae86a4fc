"""The state of a partition derived again from the log: verify, explain, roll back."""
