"""Readers of the real data that the use cases are shown on."""
