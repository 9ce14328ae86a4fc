"""What operators do to a running use case: each act is journaled."""
