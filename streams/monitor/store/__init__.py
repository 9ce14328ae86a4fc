"""The monitor's store of the output topics, and the queries on it."""
