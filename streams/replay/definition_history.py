"""The definitions that a use case ever ran under, from its topic, run again as they were then.

The journal names a definition by its hash. Its source is taken from the `definitions` topic and not
from the file at hand, which may have changed. It is run only if its record is signed, or if it is
the text of a file that the operator trusts: who can write to a topic must not run code here.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Collection, Mapping
from contextlib import chdir, nullcontext
from pathlib import Path

from pydantic import ValidationError

from schemas.errors import ConfigError, RiverrunError
from schemas.records.definitions import Definition, DefinitionFile
from streams.config.lookup_files import LookupFile, sha256_of, unpacked
from streams.config.settings import Settings
from streams.config.use_case_loader import (
    LoadedUseCase,
    definition_of,
    load,
    lock,
    runtime,
    text_of,
    versions,
)
from streams.kafka.topic_reader import TopicReader
from streams.replay.definition_topic import is_signed

FLOATS_FROM = ("numpy", "scipy", "river", "orjson", "pydantic", "pydantic-core")
"""Distributions whose version may change a float, or how one is written."""

_FILE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}\.py")


class Unprovable(RiverrunError):
    """What is needed to derive it again is not to be had; it may well be right."""


class DefinitionHistory:
    """Every definition that ever ran, from its topic. Loads each at most once, in this process."""

    def __init__(
        self,
        records: Mapping[str, Definition],
        unread: Collection[str] = frozenset(),
        doubted: Collection[str] = frozenset(),
        several: Collection[str] = frozenset(),
    ) -> None:
        self.records = dict(records)
        self._unread = unread
        self._doubted = doubted
        self._several = several
        self._loaded: dict[str, LoadedUseCase] = {}
        self._differences: dict[str, list[str]] = {}

    @classmethod
    async def read(
        cls, topic: str, settings: Settings, *, trusted: Collection[str] = ()
    ) -> DefinitionHistory:
        """Read all that the topic holds.

        Of one hash the newest record counts, those that may be run before all others.
        `trusted`: sources that may be run without a signature.
        """
        definitions: dict[str, Definition] = {}
        unread, sure, several = set(), set(), set()
        contents: dict[str, str] = {}
        key, texts = settings.snapshot_key(), frozenset(trusted)
        async with TopicReader([topic], settings) as reader:
            for topic_partition in reader.topic_partitions:
                async for record in reader.records(topic_partition):
                    value = record.value or b""
                    try:
                        definition = Definition.model_validate_json(value)
                    except ValidationError as error:
                        unread.add((record.key or b"").decode(errors="replace"))
                        reader.unreadable.note(record, f"it is no definition: {error}")
                        continue
                    name = definition.definition
                    source = definition.source
                    signed = is_signed(value, record.headers, key)
                    if signed or source in texts:
                        if name in sure and text_of(definitions[name].source) != text_of(source):
                            several.add(name)
                        sure.add(name)
                    elif name in sure:
                        continue
                    definitions[name] = definition
                    if signed:  # to trust a source is not to trust what its files are said to hold
                        contents |= {f.sha256: f.content for f in definition.files if f.content}
        for name, definition in definitions.items():
            files = [
                file.model_copy(update={"content": contents.get(file.sha256)})
                for file in definition.files
            ]
            definitions[name] = definition.model_copy(update={"files": files})
        return cls(definitions, unread, definitions.keys() - sure, several)

    def loaded(self, definition: str) -> LoadedUseCase:
        """Run its source as it was; raises `Unprovable` if that is not to be had or fails here."""
        use_case = self._loaded.get(definition)
        if use_case is None:
            use_case = self._loaded[definition] = self._load(definition)
        return use_case

    def _load(self, definition: str) -> LoadedUseCase:
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
        if definition in self._several:
            raise Unprovable(
                f"the definitions topic has two different sources under the name {definition}, "
                "both signed or trusted; which of them ran cannot be told."
            )
        if not _FILE.fullmatch(record.file):
            raise Unprovable(
                f"definition {definition} says that its file is {record.file[:80]!r}, which is no "
                "Python file's name."
            )
        digests = {file.name: file.sha256 for file in record.files}
        if definition_of(record.source, record.runtime, digests) != definition:
            raise Unprovable(f"the source on the definitions topic is not that of {definition}.")
        # Not removed: a traceback, and a pickled class, look for the file.
        path = Path(tempfile.mkdtemp(prefix=f"riverrun-{definition}-")) / record.file
        path.write_text(record.source, "utf-8")
        for file in record.files:
            _restore(file, path.parent, definition)
        try:
            # What it opens by a relative name is beside it now.
            with chdir(path.parent) if record.files else nullcontext():
                loaded = load(str(path))
        except ConfigError as error:
            raise Unprovable(
                f"definition {definition} does not run here any more: {error}"
            ) from error
        for name, digest in digests.items():
            if digest not in {file.sha256 for file in loaded.files if file.name == name}:
                raise Unprovable(
                    f"definition {definition} read {name} (SHA-256 {digest[:12]}), and does not "
                    "read that here."
                )
        return loaded

    def differences(self, definition: str) -> list[str]:
        """Yield what differs between the versions that it ran on and those of this process."""
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


def _restore(file: DefinitionFile, folder: Path, definition: str) -> None:
    """Put a lookup file, as it was, into the folder that a definition is run in.

    Raises `Unprovable` if its content is neither on the topic nor where the file was.
    """
    known = LookupFile(file.name, file.sha256, Path(file.path))
    if file.content is not None and known.is_movable:
        data = unpacked(file.content)
    else:
        where = [Path(file.path), *([Path(file.name)] if known.is_movable else [])]
        same = [path for path in where if path.is_file() and sha256_of(path) == file.sha256]
        if not same:
            raise Unprovable(
                f"definition {definition} read {file.name}, and its content of then (SHA-256 "
                f"{file.sha256[:12]}) is gone. Put that back at {file.path}, and retry."
            )
        if not known.is_movable:
            return
        data = same[0].read_bytes()
    path = folder / file.name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _pinned(text: str) -> dict[str, str]:
    pairs = (line.partition("==") for line in text.splitlines())
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, _, version in pairs}
