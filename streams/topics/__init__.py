"""The topics themselves: created, identified, and checked for retention and timestamps."""
