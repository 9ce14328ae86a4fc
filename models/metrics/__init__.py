"""Windowed metrics of each model, label delays and the monitoring of drift."""
