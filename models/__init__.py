"""Riverrun's models."""
