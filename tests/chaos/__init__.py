"""Real workers on a real Kafka and a real Redis, and everything that can be done to them.

`make chaos`, or `python -P -m tests.chaos --events N --faults N --seed S`. The faults are in
faults.py, the verifier that shares no code with riverrun in verifier.py, the model check, which
folds the journal again, in folding.py.
"""
