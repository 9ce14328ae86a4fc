"""The actions of operators on a running use case: each is recorded."""
