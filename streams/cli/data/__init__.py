"""Commands that move data out of and into the loop."""
