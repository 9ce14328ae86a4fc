"""The queries of commands: tails, histories, the model registry. Nothing here writes."""
