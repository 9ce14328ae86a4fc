"""Snapshots: the state of a partition as of one journal entry, kept outside the log.

    at a batch's end   fork ── child: pickle what changed, digest, sign ──▶ file ──▶ exit
                         │                                                   │
                       go on with the next batch        a thread: ──▶ Redis, ──▶ archive

A snapshot is a cache of the log: without it, only time is lost. One that is incomplete, not signed,
or of another use case, format, definition, River or Python is reported and left alone, and the
state is folded from the log.

    sealed       the form: parts, header, signature
    parts        what of a task's state goes into it, and back
    forking      the child that pickles, and its bounds
    redis_hash   one hash a partition, compare-and-set
    archive      files by partition and entry, at any fsspec URL; kept by age and count
    store        when and which: what a worker's partitions talk to
"""
