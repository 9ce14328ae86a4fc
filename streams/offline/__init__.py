"""Runs without a worker: backtests, checks, backfills, exports, captures."""
