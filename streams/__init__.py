"""Riverrun's streams."""
