"""Pickles loaded by an allow-list, after a dry run with stand-ins."""
