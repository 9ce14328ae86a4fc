"""Features of an event: what a use case declares of windows and tables, and how it is computed."""
