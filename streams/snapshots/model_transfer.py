"""A model's state as it travels with a `rollback` to a position: pickled, compressed and signed.

Write access to the `commands` topic is no permission to run code: a state is read only if its
signature (HMAC-SHA256 under RIVERRUN_SNAPSHOT_KEY) covers it and its purpose, and only by the exact
list of names that snapshots are read by. docs/adr/0060-a-rollback-brings-its-state.md
"""

from __future__ import annotations

import hashlib
import hmac
import pickle
import zlib
from base64 import encodebytes
from collections.abc import Callable, Iterator
from typing import Any

from models.spec.use_case import UseCase
from models.task.learner_task import LearnerTask
from models.task.model_restore import PIECE_BYTES_MAX, PIECES_MAX, Stored, Unseal
from models.task.partition_task import PartitionTask
from schemas.commands import StateChunk
from schemas.errors import Incompatible, Malformed
from streams.config.use_case_loader import namespace_of, standing_in
from streams.unpickling.safe_unpickler import Allowed, RefusedPickle, unpickle

PROTOCOL = 5
STATE_BYTES_MAX = 1 << 30
"""Of a state once it is unpacked."""


def packed(task: PartitionTask | LearnerTask, model: str) -> bytes:
    """Return the pooled model of a task as it is; raise `Incompatible` if it is too large to
    travel.
    """
    case, slot = task.use_case, task.router.pooled[model]
    module = case.event.__module__
    # Of a shared model each partition has means of its own.
    means = None if isinstance(task, LearnerTask) else task.explainer.means.get(f"{model}/")
    with standing_in(module, namespace_of(module, [*case.models.values(), case.label])):
        state = zlib.compress(pickled((slot, means)))
    limit = PIECES_MAX * PIECE_BYTES_MAX
    if len(state) > limit:
        raise Incompatible(
            f"{model} has {len(state)} bytes, compressed; at most {limit} travel with a command. "
            "`riverrun rollback` without --as-of brings it back as it is now"
        )
    return state


def pickled(value: Any) -> bytes:
    """Return an object as a pickle, however deeply it is nested."""
    try:
        return pickle.dumps(value, PROTOCOL)
    except RecursionError:
        # From Python 3.12 on C code has a limit of its own, whatever the stack; this is slow.
        return pickle._dumps(value, PROTOCOL)  # type: ignore[attr-defined,no-any-return]


def pieces(of: str, state: bytes) -> Iterator[StateChunk]:
    """Yield the state in parts that fit a record."""
    for number, start in enumerate(range(0, len(state), PIECE_BYTES_MAX)):
        yield StateChunk(
            of=of, number=number, state=encodebytes(state[start : start + PIECE_BYTES_MAX])
        )


def seal(label: bytes, state: bytes, key: bytes) -> str:
    """Return the seal of one state and of what it is for."""
    signed = b"riverrun state\0%d\0%b%b" % (len(label), label, state)
    return hmac.new(key, signed, hashlib.sha256).hexdigest()


def unsealer(key: Callable[[], bytes]) -> Unseal:
    """Return what reads states in this process; the key is asked for where one comes."""

    def unseal(case: UseCase, label: bytes, state: bytes, given: str) -> Stored:
        if not hmac.compare_digest(seal(label, state, key()), given):
            raise Malformed("the state is not sealed with the RIVERRUN_SNAPSHOT_KEY in use here")
        return _read(case, state)

    return unseal


def _read(case: UseCase, state: bytes) -> Stored:
    try:
        unpacker = zlib.decompressobj()
        data = unpacker.decompress(state, STATE_BYTES_MAX)
        if not unpacker.eof:
            raise Malformed(f"the state has more than {STATE_BYTES_MAX} bytes, or is cut off")
        fields: Any = unpickle([data], Allowed(case.models.values(), case.event.__module__))
        return Stored(*fields)
    except (RefusedPickle, zlib.error, TypeError) as error:
        raise Malformed(f"the state cannot be read: {error}") from error
