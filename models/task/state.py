"""What a partition task is made of: its position, time, memory, models and evidence.

Each part has a file of its own; here they are put together. Two rooms change them: `answering`
(events) and `learning` (outcomes, and the passing of time).
"""

from __future__ import annotations

from hashlib import blake2b
from itertools import islice
from typing import Any, NamedTuple

import orjson

from models.assignment import Assignment
from models.certainty import Certainty
from models.explaining import Explainer
from models.features import Featurizer, Vector
from models.grouping import Grouping
from models.influence import Influence
from models.journal import Journal
from models.kinds import KINDS, Said
from models.maturing import Maturity
from models.packing import Packing
from models.personal import masking_of
from models.publishing import Output, Publisher
from models.quarantine import Quarantine
from models.reacting import Reaction
from models.reading import Taken
from models.restoring import Restoring, Stored, Unseal
from models.roster import Roster
from models.scoring import Judge
from models.settling import Settling
from models.tally import Group, Tally
from models.telling import Teller
from models.usecase import UseCase
from models.waiting import Ledger
from models.watching import Watcher
from models.watermark import Watermark
from schemas.errors import Malformed, Rejected
from schemas.headers import Headers
from schemas.inputs import Event, Outcome

LIVE_MAX = 2_000
"""Questions kept as objects, so that a quick outcome needs not read them again from bytes."""
LEAVE = 200
"""How many of them make room at once: a dictionary is slow to tell its first one."""
COUNTED = (
    "events", "outcomes", "learnt", "late", "expired", "repeats", "tombstones", "refused",
    "champion", "challenger", "pooled", "baseline", "holdout",
    "quarantined", "released",
)  # fmt: skip


class Question(NamedTuple):
    """An event, with what was made of it."""

    event: Any
    x: Vector
    segment: str | None
    groups: list[Group]
    key: bytes
    shared: Headers
    """What all records about it have in their headers."""
    vector: orjson.Fragment
    """`x` as JSON, which two records hold."""


class Parts:
    """All state of one use case on one partition.

    `definition` is the hash of the use case's definition; it is part of every model's version.
    Memory: windows by their keys, waiting predictions by `waiting_limit`, ids by `memory`.
    """

    def __init__(
        self,
        use_case: UseCase,
        partition: int,
        partitions: int,
        definition: str,
        unseal: Unseal | None = None,
    ) -> None:
        kind = KINDS[use_case.kind]
        self.use_case = use_case
        self.partition = partition
        self.definition = definition
        self.kind = kind
        self.journal = Journal()
        self.watermark = Watermark(use_case.max_jump_s, use_case.jump_agree)
        self.packing = Packing(use_case)
        self.ledger = Ledger(
            use_case.horizon, use_case.memory_s, use_case.waiting_limit, self.packing
        )
        self.quarantine = Quarantine(use_case.early_limit)
        self.featurizer = Featurizer(use_case.features, use_case.hidden)
        self.roster = Roster(use_case, kind, definition, partitions)
        self.tally = Tally(use_case, kind)
        self.settling = Settling(use_case, kind, self.tally, self.roster, (partition, definition))
        self.assignment = Assignment(use_case)
        self.counts = dict.fromkeys(COUNTED, 0)
        self.grouping = Grouping(use_case)
        self.publish = Publisher(use_case.name, partition, kind, self.roster.names)
        self.maturity = Maturity(use_case)
        self.certainty = Certainty(use_case)
        self.explainer = Explainer(use_case.explain)
        self.watcher = Watcher(use_case, self.roster.names)
        self.masking = masking_of(use_case)
        self.judge = Judge(use_case, kind, self.roster.names)
        self.teller = Teller(
            self.publish,
            self.roster,
            self.journal,
            self.watermark,
            discreet=bool(self.masking),
        )
        self.reaction = Reaction(use_case, kind, self.roster, self.teller, self.renew)
        self.influence = Influence(use_case, kind, self.roster)
        self.corrects = use_case.learns != "label"
        self.unseal = unseal
        self.restoring = Restoring(unseal)
        # Nothing but a short cut: what is not here is made again from what waits.
        self.live: dict[str, Question] = {}

    def keep(self, question: Question) -> None:
        """Keep a question at hand; the oldest make room, and wait as bytes from then on."""
        if len(self.live) >= LIVE_MAX:
            for event_id in list(islice(self.live, LEAVE)):
                del self.live[event_id]
                self.ledger.pack(event_id)
        self.live[question.event.event_id] = question

    def baseline(self, event: Event) -> Said:
        """What the baseline says of an event; raises `Malformed` where it cannot."""
        try:
            return self.kind.said_of(self.use_case.baseline(event))
        except Exception as error:  # the author's function met data that it cannot take
            raise Malformed(f"the baseline failed on this event: {error}") from error

    def renew(self, model: str) -> None:
        """A fresh model in the place of that one; what was known of the old one is forgotten."""
        now = self.watermark.time
        self.roster.renew(model, float("-inf") if now is None else now)
        self.teller.anew(model)
        self.explainer.forget(model)

    def put_back(self, stored: Stored) -> None:
        """A model as it was in the place of what it is now."""
        slot = stored.slot
        self.renew(slot.name)
        self.roster.pooled[slot.name] = slot
        slot.changed = True
        if stored.means is not None:
            self.explainer.means[f"{slot.name}/"] = stored.means

    def refuse(self, taken: Taken, error: Rejected, out: list[Output]) -> None:
        """Park a record that cannot be used; what is said of it has no personal data."""
        self.counts["refused"] += 1
        if self.masking:
            error = type(error)(self.masking.words_about(taken.record.value, str(error)))
        step = self.journal.step
        out.append(self.publish.dead_letter(taken.record, taken.input, error, step))


def digest(body: Event | Outcome) -> bytes:
    """Eight bytes that tell one content from another."""
    # What was not sent is left out, so that a field which the schema gains changes nothing.
    sent, fields = body.model_fields_set, body.__dict__
    if len(sent) < len(fields):
        fields = {name: value for name, value in fields.items() if name in sent}
    try:
        text = orjson.dumps(fields)
    except TypeError:  # numbers beyond 64 bits, and types that only pydantic writes
        text = body.model_dump_json(exclude_unset=True).encode()
    return blake2b(text, digest_size=8).digest()
