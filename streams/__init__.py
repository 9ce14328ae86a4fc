"""Riverrun's streams. Whoever imports River after any of it does so without what nobody calls."""

import streams.config.lazy_river  # noqa: F401
