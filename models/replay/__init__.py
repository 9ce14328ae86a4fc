"""Runs of a partition task over recorded data: backtests, learning curves, offline predictions."""
