"""Measurements, worker status, health and logs of running processes."""
