"""Riverrun's schemas."""
