"""From the records of foreign topics to events and outcomes of the use case."""
