"""Texts that stand for nothing in files of others: what pandas, R and SQL write there."""

from __future__ import annotations

ABSENT = frozenset(
    ("NA", "N/A", "n/a", "na", "#N/A", "<NA>", "NaN", "nan", "-nan", "NaT", "null", "NULL", "None")
)
"""Texts that mean that there is nothing, where a field is not text."""
