"""What commands show: tails, histories, the model registry. Nothing here writes."""
