"""The page for operations: what is seen of riverrun in a browser. One file a view."""
