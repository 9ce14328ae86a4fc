"""Riverrun's usecases."""
