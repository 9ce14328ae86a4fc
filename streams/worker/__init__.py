"""The worker process: its launch, supervision and services."""
