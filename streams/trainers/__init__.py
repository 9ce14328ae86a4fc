"""Processes that train the learner's models: the same bytes, on other cores (docs/adr/0144).

    learner ── examples, in order ──▶ trainer 1: the models that are its own
            ◀── states of versions ──
            ── the same ────────────▶ trainer 2: the others

The learner stays one state machine in one process. What is learnt of an example is computed
elsewhere, in the order that the learner's journal has, by the code that would have run in place:
so topics, snapshots and proofs are the same to the byte with any number of trainers, and none of
them is named in a definition.

fork_server      a process without threads, from which trainers are forked
trainer_process  what a trainer does
trainer_link     the learner's side of one trainer: a pipe
remote_slot      a model slot whose River object is a trainer's
late_headers     headers of a version that a trainer is still making
trainer_pool     which model is whose; when all have caught up; what becomes of a failure

Rules:

1. Nothing is committed before every trainer has done all that it was told (`TrainerPool.settle`).
2. The learner counts an example as learnt when it sends it. A trainer that finds otherwise, since
   the model raised, says so by then; the batch is left, and that model is trained in place.
3. A trainer holds no more than a snapshot and the journal give again. One that dies or hangs ends
   the learner's state, which is recovered as after any failure.
"""
