"""Formats of foreign topics: from the bytes of a record to the value that a source maps."""
