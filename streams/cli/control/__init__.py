"""Commands that change a running use case."""
