"""Commands for the author of a use case."""
