"""Commands that start processes and watch them."""
