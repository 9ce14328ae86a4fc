"""The real core and the real recovery under a seeded scheduler, on a Kafka in memory.

`python -P -m tests.simulation --seed S --runs N`, or `make simulate SEED=… N=…`.

What is real: models/ (a task with windows, two River models, segments),
streams/partition/runner.py, intake, inbox, recovery, log, writer, and worker.py but for Faust. What
is not: aiokafka's consumer and producer (clients.py), the broker and the group's coordinator
(broker.py, group.py), the snapshots' server (store.py), processes (process.py) and time.

A run is a function of its seed: the faults, their moments, the order of everything.
"""
