"""The definitions that a use case ever ran under, from its topic, run again as they were then.

The journal names a definition by its hash. Its source is taken from the `definitions` topic and not
from the file at hand, which may have changed. It is run only if its record is signed, or if it is
the text of a file that the operator trusts: who can write to a topic must not run code here.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path

from pydantic import ValidationError

from schemas.errors import Misdeclared, RiverrunError
from schemas.records import Definition
from streams.definitions import is_signed
from streams.loading import Loaded, definition_of, load, lock, runtime, versions
from streams.settings import Settings
from streams.tapes import Tapes

FLOATS_FROM = ("numpy", "scipy", "river", "orjson", "pydantic", "pydantic-core")
"""Distributions whose version may change a float, or how one is written."""


class Unprovable(RiverrunError):
    """What is needed to derive it again is not to be had; it may well be right."""


class Definitions:
    """Every definition that ever ran, from its topic. Loads each at most once, in this process."""

    def __init__(
        self,
        records: Mapping[str, Definition],
        unread: Collection[str] = frozenset(),
        doubted: Collection[str] = frozenset(),
    ) -> None:
        self.records = dict(records)
        self._unread = unread
        self._doubted = doubted
        self._loaded: dict[str, Loaded] = {}
        self._differences: dict[str, list[str]] = {}

    @classmethod
    async def read(
        cls, topic: str, settings: Settings, *, trusted: Collection[str] = ()
    ) -> Definitions:
        """All that the topic holds; of one hash the newest record counts, those that may be run
        before all others. `trusted`: sources that may be run without a signature.
        """
        found: dict[str, Definition] = {}
        unread, sure = set(), set()
        key, texts = settings.snapshot_key(), {definition_of(source, "") for source in trusted}
        async with Tapes([topic], settings) as tapes:
            for place in tapes.places:
                async for record in tapes.records(place):
                    value = record.value or b""
                    try:
                        definition = Definition.model_validate_json(value)
                    except ValidationError:
                        unread.add((record.key or b"").decode(errors="replace"))
                        continue
                    name = definition.definition
                    known = definition_of(definition.source, "") in texts
                    if known or is_signed(value, record.headers, key):
                        sure.add(name)
                    elif name in sure:
                        continue
                    found[name] = definition
        return cls(found, unread, found.keys() - sure)

    def loaded(self, definition: str) -> Loaded:
        """Run its source as it was; raises `Unprovable` if that is not to be had or fails here."""
        found = self._loaded.get(definition)
        if found is None:
            found = self._loaded[definition] = self._load(definition)
        return found

    def _load(self, definition: str) -> Loaded:
        record = self.records.get(definition)
        if record is None and definition in self._unread:
            raise Unprovable(
                f"definition {definition} was published by another version of riverrun, in a form "
                "that this one does not read."
            )
        if record is None:
            raise Unprovable(
                f"definition {definition} is not on the definitions topic: it was never published, "
                "or deleted."
            )
        if definition in self._doubted:
            raise Unprovable(
                f"definition {definition} is not signed with this RIVERRUN_SNAPSHOT_KEY, so its "
                "source is not run. Set the key that its workers had, or give the file as it was: "
                "--trust FILE."
            )
        if definition_of(record.source, record.runtime) != definition:
            raise Unprovable(f"the source on the definitions topic is not that of {definition}.")
        # Not removed: a traceback, and a pickled class, look for the file.
        path = Path(tempfile.mkdtemp(prefix=f"riverrun-{definition}-")) / Path(record.file).name
        path.write_text(record.source, "utf-8")
        try:
            return load(str(path))
        except Misdeclared as error:
            raise Unprovable(
                f"definition {definition} does not run here any more: {error}"
            ) from error

    def differences(self, definition: str) -> list[str]:
        """What differs between the versions that it ran on and those of this process."""
        if definition not in self._differences:
            self._differences[definition] = self._compared(definition)
        return self._differences[definition]

    def _compared(self, definition: str) -> list[str]:
        record = self.records.get(definition)
        if record is None:
            return []
        if record.runtime != runtime():
            return [f"{record.runtime} then, {runtime()} now"]
        was = _pinned(record.lock) | {
            "python": record.python,
            "river": record.river,
            "riverrun": record.riverrun,
        }
        now = _pinned(lock()) | versions()
        names = ("python", "riverrun", *FLOATS_FROM)
        return [
            f"{name} {was.get(name, 'none')} then, {now.get(name, 'none')} now"
            for name in names
            if was.get(name) != now.get(name)
        ]


def _pinned(text: str) -> dict[str, str]:
    pairs = (line.partition("==") for line in text.splitlines())
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, _, version in pairs}
