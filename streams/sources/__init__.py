"""The sources of a use case, relayed within a worker into the use case's own topics."""
