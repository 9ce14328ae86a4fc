"""A shared model's version as it travels on `models`: numbers or a pickle, and a signature.

Write access to the topic is no permission to run code: a state is read only if its signature
(HMAC-SHA256 under RIVERRUN_SNAPSHOT_KEY) covers it and its purpose, and a pickle only by the exact
list of names that snapshots are read by. `VersionReader` checks and reads each version once for all
partitions of a process.
"""

from __future__ import annotations

import hmac
import pickle
import zlib
from collections import OrderedDict
from collections.abc import Callable
from hashlib import blake2b
from typing import Any

from models.inputs.decoder import parsed_update
from models.serving.model_slot import ModelSlot
from models.spec.use_case import UseCase
from models.training import linear_state
from models.training.versions import (
    ENCODING,
    LINEAR,
    PICKLE,
    STATE,
    Pack,
    VersionRef,
    label_of_version,
)
from schemas.errors import Incompatible, Malformed
from schemas.headers import Headers
from streams.config.use_case_loader import namespace_of, standing_in
from streams.snapshots.model_transfer import STATE_BYTES_MAX, pickled, seal
from streams.unpickling.safe_unpickler import Allowed, RefusedPickle, unpickle

SEAL = "seal"
COPIES_MAX = 4
"""Versions of each model kept decoded: partitions of one process are at most this far apart."""
VOUCHED_MAX = 10_000
"""States that are known to be this process's own, by their digests."""


def packer(
    use_case: UseCase, key: Callable[[], bytes], reader: VersionReader | None = None
) -> Pack:
    """Return the function that makes the headers of a version: its state as it is now, and the
    signature.

    `reader` reads what is packed here without a rehearsal.
    """
    module = use_case.event.__module__

    def pack(slot: ModelSlot, label: bytes) -> Headers:
        numbers = linear_state.packed(slot.model)
        if numbers is not None:
            encoding, state = LINEAR, numbers
        else:
            with standing_in(module, namespace_of(module, [*use_case.models.values()])):
                encoding, state = PICKLE, zlib.compress(pickled(slot.model), 1)
            if reader is not None:
                reader.vouch(state)
        mark = seal(label + encoding, state, key()).encode()
        return ((ENCODING, encoding), (STATE, state), (SEAL, mark))

    return pack


class VersionReader:
    """models.training.versions.Unpack, for all partitions of a process.

    Memory: the newest `COPIES_MAX` versions of each model that were asked for. `vouched` may be
    shared with other readers.
    """

    def __init__(
        self, use_case: UseCase, key: Callable[[], bytes], vouched: Vouched | None = None
    ) -> None:
        self._use_case = use_case
        self._key = key
        self._vouched: Vouched = OrderedDict() if vouched is None else vouched
        self._allowed = Allowed(use_case.models.values(), use_case.event.__module__)
        self._copies: OrderedDict[tuple[bytes, str], ModelSlot] = OrderedDict()
        # (label, encoding, seal) → the bytes that were found to be sealed so.
        self._sealed: OrderedDict[tuple[bytes, bytes, bytes], bytes] = OrderedDict()

    def __call__(self, version: VersionRef, label: bytes) -> ModelSlot:
        """Return the version's model, which nobody changes. Raises `Incompatible`."""
        headers = dict(version.headers or ())
        self.check(headers, label)
        copy = label, headers[SEAL].decode()
        slot = self._copies.get(copy)
        if slot is None:
            slot = ModelSlot(version.name, None, self._model(version.name, headers))
            slot.trained_on = version.trained_on
            _remember(self._copies, copy, slot, self._copies_max)
        return slot

    def check(self, headers: dict[str, bytes], label: bytes) -> None:
        """Raise `Incompatible` unless the state is sealed as of that label."""
        state = headers.get(STATE)
        encoding, given = headers.get(ENCODING, b""), headers.get(SEAL, b"")
        if state is None:
            raise Incompatible("the version has no state")
        if self._sealed.get((label, encoding, given)) is state:
            return  # the same bytes that another partition of this process was given
        sealed = seal(label + encoding, state, self._key()).encode()
        if not hmac.compare_digest(sealed, given):
            raise Incompatible(
                "the version is not sealed with the RIVERRUN_SNAPSHOT_KEY in use here. Give every "
                "worker of a use case the same key"
            )
        _remember(self._sealed, (label, encoding, given), state, self._copies_max)

    def vouch(self, state: bytes) -> None:
        """Note that this process has made that state itself: its pickle needs no rehearsal."""
        vouch(self._vouched, state)

    @property
    def _copies_max(self) -> int:
        return COPIES_MAX * len(self._use_case.models)

    def _model(self, name: str, headers: dict[str, bytes]) -> Any:
        try:
            if headers[ENCODING] == LINEAR:
                return linear_state.filled(self._use_case.models[name](), headers[STATE])
            unpacker = zlib.decompressobj()
            data = unpacker.decompress(headers[STATE], STATE_BYTES_MAX)
            if not unpacker.eof:
                raise Incompatible(f"the version of {name} has more than {STATE_BYTES_MAX} bytes")
            rehearsed = blake2b(headers[STATE], digest_size=16).digest() in self._vouched
            return unpickle([data], self._allowed, rehearsed=rehearsed)
        except (
            RefusedPickle,
            zlib.error,
            ValueError,
            KeyError,
            TypeError,
            pickle.PickleError,
        ) as error:
            raise Incompatible(f"the version of {name} cannot be read: {error}") from error

    def flaw(self, record: Any) -> str | None:
        """Return why the version in a record of `models` cannot be used; None if it can, or where
        every worker sees that it cannot.
        """
        try:
            update, _ = parsed_update(record.value)
            version = update["version"]
            counts = version["generation"], version["trained_on"]
        except (Malformed, TypeError, KeyError):
            return None
        try:
            at = update["number"], record.offset
            of = VersionRef(version["model"], update["definition"], *counts, *at, None)
            label = label_of_version(self._use_case.name, of)
            self.check(dict(record.headers), label)
        except Incompatible as error:
            return str(error)
        return None


class VersionReaders:
    """A reader for each definition, for all folds of a process. Memory: that of the readers."""

    def __init__(self, key: Callable[[], bytes]) -> None:
        self.vouched: Vouched = OrderedDict()
        self._key = key
        self._readers: dict[str, VersionReader] = {}

    def of(self, definition: str, use_case: UseCase) -> VersionReader:
        """Return the reader of versions that were published under that definition."""
        reader = self._readers.get(definition)
        if reader is None:
            reader = self._readers[definition] = VersionReader(use_case, self._key, self.vouched)
        return reader


Vouched = OrderedDict[bytes, None]
"""Digests of the newest states that this process has made, or derived, itself."""


def vouch(vouched: Vouched, state: bytes) -> None:
    """Add a state to those that need no rehearsal."""
    _remember(vouched, blake2b(state, digest_size=16).digest(), None, VOUCHED_MAX)


def _remember(newest: OrderedDict[Any, Any], key: Any, value: Any, limit: int) -> None:
    newest[key] = value
    if len(newest) > limit:
        newest.popitem(last=False)
