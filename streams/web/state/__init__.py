"""The page's state: sessions, limits, caches and actions."""
