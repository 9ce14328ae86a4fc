"""Predictions that wait for their outcome, and outcomes that came before their event."""
