"""The state of windows, one way to keep it a file: plain data that pickles to the same bytes.

Every state has the same verbs: `add(key, time, value)`, `read(key, now)` (None where nothing is
counted; sums have `sums`), `set_back(time)`, `saved()` and `restore(saved)`. Reading changes no
later value. Each holds at most `keys` keys; the one that was added to longest ago is dropped first.
"""
