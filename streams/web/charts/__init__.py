"""The charts of the page and their texts."""
