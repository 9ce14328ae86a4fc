"""riverrun beside what one would use else: the same records, models and checks, in one run.

python -P -m benchmarks.side_by_side [--quick] [--check] writes RESULTS.md and results.json.
"""
