"""The versions of shared models, derived again from the examples and held against their topic.

A partition's answer is proved in two steps: the learner, folded from its journal and the examples
of all partitions, gives each version on `models`; and the partition, folded from its journal, gives
the answer by the version that it had. A record's value is compared byte for byte, and the model in
its headers by what it holds: a pickle of the same model need not be the same bytes.
"""

from __future__ import annotations

import pickle
import zlib
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from models.replay.structural_equality import alike
from models.serving.model_slot import ModelSlot
from models.task.learner_task import LearnerTask
from models.training import linear_state
from models.training.versions import ENCODING, LINEAR, STATE
from schemas.headers import Headers
from schemas.topics import LEARNER
from streams.config.settings import Settings
from streams.kafka.topic_reader import TopicReader
from streams.replay.definition_history import DefinitionHistory, Unprovable
from streams.replay.derivation import Derivation
from streams.replay.journal_fold import Diverged
from streams.snapshots.model_transfer import pickled
from streams.snapshots.version_transfer import Vouched, vouch
from streams.unpickling.pickle_equality import equal_but_for_sharing
from streams.unpickling.safe_unpickler import Allowed, RefusedPickle, unpickle


@dataclass(slots=True)
class VerifiedVersions:
    """What was found: how many were the same, and the first that was not, or why none is proved."""

    checked: int = 0
    different: str | None = None
    reasons: list[str] = field(default_factory=list)


async def verify_versions(
    settings: Settings,
    names: Mapping[str, str],
    definitions: DefinitionHistory,
    partitions: int,
    vouched: Vouched | None = None,
) -> VerifiedVersions:
    """Derive every version again. Raises `Unavailable` if Kafka does not answer.

    `vouched` gets the states on the topic that were derived again to the byte.
    """
    verified = VerifiedVersions()
    compared = _Comparison(verified, vouched)
    derivation = Derivation(
        settings,
        names,
        definitions,
        partition=LEARNER,
        partitions=partitions,
        jumps=False,
        watch=compared.watch,
    )
    try:
        last = await derivation.open()
        if last is None:
            return verified
        async with TopicReader([names["models"]], settings) as topic:
            for topic_partition in topic.of(names["models"]):
                async for record in topic.records(topic_partition):
                    compared.published.append(record)
        try:
            await derivation.to(last.seq + 1, compared.outputs)
        except Diverged as error:
            verified.different = verified.different or f"the learner: {error}"
        except Unprovable as error:
            verified.reasons.append(f"the learner: {error}")
        else:
            compared.end(last.seq)
    finally:
        await derivation.close()
    return verified


class _Comparison:
    """The records of `models`, in their order, beside what the fold gives."""

    def __init__(self, verified: VerifiedVersions, vouched: Vouched | None = None) -> None:
        self.published: deque[Any] = deque()
        self._vouched = vouched
        self._verified = verified
        self._task: LearnerTask | None = None
        self._allowed = Allowed()

    def watch(self, task: Any, _taken: Any) -> None:
        """Let a learner pack what it publishes; a new one after each change of definition."""
        if task is not self._task:
            self._task, task.pack = task, self.pack
            use_case = task.use_case
            self._allowed = Allowed(use_case.models.values(), use_case.event.__module__)

    def pack(self, slot: ModelSlot, _label: bytes) -> Headers:
        """Keep the model as it is now."""
        numbers = linear_state.packed(slot.model)
        state = pickled(slot.model) if numbers is None else numbers
        return ((STATE, state),)

    def outputs(self, records: Any) -> None:
        """Hold what the fold gave against the topic."""
        for output in records:
            if output.kind == "models" and self._verified.different is None:
                self._compare(output)

    def _compare(self, output: Any) -> None:
        if not self.published:
            self._verified.different = f"the topic lacks {output.value!r}"
            return
        record = self.published.popleft()
        if record.value != output.value:
            self._verified.different = (
                f"the version at offset {record.offset} is {record.value!r} on the topic and "
                f"{output.value!r} derived again"
            )
            return
        derived, published = dict(output.headers).get(STATE), dict(record.headers)
        if derived is not None and not self._same(published, derived):
            self._verified.different = (
                f"the model in the version at offset {record.offset} is another than derived again"
            )
            return
        self._verified.checked += 1

    def _same(self, published: Mapping[str, bytes], derived: bytes) -> bool:
        if published.get(ENCODING) == LINEAR:
            return published.get(STATE) == derived
        try:
            data = zlib.decompress(published[STATE])
            # Of a learner that had restarted, texts are shared in another way. Reading both takes
            # many times as long.
            if data == derived:
                if self._vouched is not None:
                    vouch(self._vouched, published[STATE])
                return True
            if equal_but_for_sharing(data, derived):
                return True
            model = unpickle([data], self._allowed)
        except (KeyError, zlib.error, RefusedPickle):
            return False
        return alike(model, pickle.loads(derived))

    def end(self, seq: int) -> None:
        """Name a record that the fold did not give."""
        left = [r for r in self.published if _seq_of(r) <= seq]
        if left and self._verified.different is None:
            self._verified.different = f"nothing gives the version at offset {left[0].offset}"


def _seq_of(record: Any) -> int:
    seq: int = orjson.loads(record.value)["seq"]
    return seq
