"""The page for operations: riverrun in a browser. One file a view."""
