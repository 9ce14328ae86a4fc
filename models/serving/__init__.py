"""Which model answers, and the safeguards around its answer."""
