"""A model put back as it was: the state that a rollback brings, in one partition."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from models.inputs.decoder import COMMANDS
from models.task.checkpoint import parts_of, take_parts
from models.task.model_restore import PIECE_BYTES_MAX, label_of
from models.task.partition_task import PartitionTask
from streams.replay.journal_fold import Entry, fold
from streams.snapshots.model_transfer import packed, pieces, seal, unsealer
from tests.support.one_partition import Partition, command, dump, letters, use_case

KEY = b"a key of this test"


def partition(key: bytes = KEY) -> Partition:
    """One that reads states under that key."""
    return Partition(use_case(segments=None, breaker=False), unseal=unsealer(lambda: key))


def lived(partition: Partition, first: int, last: int, took: float = 6.0) -> list[float]:
    """Events and their outcomes; what was said of them."""
    predictions = []
    for step in range(first, last):
        partition.event(f"e{step}", step * 10.0, weight=1.0 + step % 7)
        predictions.append(partition.of("predictions")[-1]["value"])
        partition.outcome(f"e{step}", step * 10.0 + 5, took=took + step % 3)
    return predictions


def bring(
    partition: Partition, state: bytes, model: str, command_id: str = "back", **changed: Any
) -> list[Any]:
    """The pieces and the command; what the command made known."""
    position = f"0/{partition.task.step}"
    parcel = {
        "as_of": position,
        "definition": "d1",
        "chunks": sum(1 for _ in pieces(command_id, state)),
        "signature": seal(label_of(partition.task, command_id, model, position), state, KEY),
    }
    for piece in pieces(command_id, state):
        fields = {"chunk": piece.model_dump(mode="json")}
        assert partition.command(f"{command_id}/{piece.number}", "deliver", **fields) == []
    return partition.command(command_id, "rollback", model=model, model_state=parcel | changed)


def test_the_earlier_champion_returns_as_it_was() -> None:
    """As at the place: what it learnt is then's, its answers are those of a partition that was
    stopped there; who did it is told, and the journal names the command.
    """
    feed = partition()
    lived(feed, 0, 40)
    state = packed(feed.task, "linear")
    assert feed.command("c1", "promote", model="tree")
    lived(feed, 40, 60, took=500.0)
    outputs = bring(feed, state, "linear")
    assert [(o.value["model"], o.value["to_state"]) for o in outputs] == [
        ("tree", "shadow"),
        ("linear", "champion"),
    ]
    slot, router = feed.task.router.pooled["linear"], feed.task.router
    assert (router.champion, router.before, slot.trained_on) == ("linear", [], 40)
    assert router.began["linear"] == feed.task.watermark.time
    assert feed.task.restoring.pieces == []
    entry = feed.task.seal()
    assert entry is not None
    assert b'"restored":["back"]' in entry
    again = unsealer(lambda: KEY)
    label = label_of(feed.task, "x", "linear", "0/1")
    then = again(feed.case, label, state, seal(label, state, KEY)).slot
    x = {"weight": 3.0, "items": 1, "recent": 2, "usual": 6.0, "worst": 7.0}
    assert slot.ask(feed.task.kind, x) == then.ask(feed.task.kind, x)


def test_the_champion_itself_can_be_put_back() -> None:
    """After broken labels: it stays champion, and is as before them."""
    feed = partition()
    lived(feed, 0, 40)
    state = packed(feed.task, "linear")
    lived(feed, 40, 60, took=500.0)
    (told,) = bring(feed, state, "linear")
    assert (told.value["from_state"], told.value["to_state"]) == ("champion", "champion")
    assert feed.task.router.pooled["linear"].trained_on == 40


def test_a_fold_puts_back_the_same_and_so_does_a_snapshot_between_the_pieces() -> None:
    """The same records give the same state; a state that was kept halfway, too."""
    live, folded = partition(), partition()
    for feed in (live, folded):
        lived(feed, 0, 30)
        feed.command("c1", "promote", model="tree")
    state = packed(live.task, "linear")
    for feed in (live, folded):
        first = next(pieces("back", state)).model_dump(mode="json")
        feed.command("back/0", "deliver", chunk=first)
        lived(feed, 30, 35)
    before = parts_of(folded.task), dict(folded.task.ledger.entries)
    fresh = partition()
    take_parts(fresh.task, *before)
    fresh.offsets, fresh.outputs = list(folded.offsets), list(folded.outputs)
    for feed in (live, fresh):
        bring(feed, state, "linear")
    assert lived(live, 40, 60) == lived(fresh, 40, 60)
    assert dump(live.task) == dump(fresh.task)


@pytest.mark.parametrize(
    ("changed", "model", "words"),
    [
        ({"signature": "0" * 64}, "linear", "not sealed"),
        ({"as_of": "0/7"}, "linear", "not sealed"),
        ({"definition": "d0"}, "linear", "definition d0"),
        ({"chunks": 7}, "linear", "has not come"),
        ({}, "tree", "neither champion nor the one before"),
        ({}, "oak", "there are: linear, tree"),
    ],
)
def test_what_does_not_fit_is_refused_and_changes_nothing(
    changed: dict[str, Any], model: str, words: str
) -> None:
    """A wrong seal, place, definition, number of pieces or model: a dead letter that says so."""
    feed = partition()
    lived(feed, 0, 30)
    before = dump(feed.task)
    state = packed(feed.task, "linear")
    outputs = bring(feed, state, model, **changed)
    assert words in letters(outputs)[0]["error"]
    after = dump(feed.task)
    for part in ("router", "restoring"):
        before.pop(part), after.pop(part)
    assert after == before
    assert b"restored" not in (feed.task.seal() or b"")


class Journaled(Partition):
    """Keeps its records and entries, one entry every few records (recovery.Log)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.records: dict[int, list[Any]] = {}
        self.sealed: list[bytes] = []

    def apply(self, taken: Any) -> list[Any]:
        """As a partition."""
        self.records.setdefault(taken.input, []).append(taken.record)
        outputs = super().apply(taken)
        if self.task.step % 4 == 0 and (entry := self.task.seal()) is not None:
            self.sealed.append(entry)
        return outputs

    async def last(self) -> Entry | None:
        """The newest."""
        return Entry.decode(self.sealed[-1])

    async def entries(self, seq: int) -> AsyncIterator[Entry]:
        """From there on."""
        for entry in self.sealed[seq:]:
            yield Entry.decode(entry)

    async def run(self, input: int, first: int, count: int) -> list[Any]:
        """By offset."""
        return self.records[input][first : first + count]


@pytest.mark.parametrize("refused", [False, True])
async def test_warmed_under_another_definition_the_decision_holds(refused: bool) -> None:
    """`redefine --how warm` folds the whole log under the new definition, for which the state was
    not made: who was rolled back to is the champion, as that definition has learnt it. Where the
    rollback was refused then, it is not obeyed either.
    """
    live = Journaled(use_case(segments=None, breaker=False), unseal=unsealer(lambda: KEY))
    lived(live, 0, 40)
    state = packed(live.task, "linear")
    live.command("c1", "promote", model="tree")
    lived(live, 40, 60)
    bring(live, state, "linear", **({"signature": "0" * 64} if refused else {}))
    lived(live, 60, 80)
    live.sealed += [entry for entry in [live.task.seal()] if entry is not None]
    warmed = PartitionTask(live.case, partition=0, partitions=1, definition="d2")
    await fold(warmed, live)
    assert warmed.router.champion == live.task.router.champion == ("tree" if refused else "linear")
    assert warmed.router.before == live.task.router.before
    assert warmed.router.pooled["linear"].trained_on == 80
    assert live.task.router.pooled["linear"].trained_on == (80 if refused else 60)
    # The state itself came and went: the next command of another definition is refused as ever.
    other = Partition(live.case, unseal=unsealer(lambda: KEY))
    other.task, other.offsets = warmed, list(live.offsets)
    outputs = bring(other, state, "linear", "again", definition="d1")
    assert "definition d1" in letters(outputs)[0]["error"]


def test_under_another_key_nothing_is_read() -> None:
    """Nor where there is none: a state is a program."""
    for feed in (partition(b"another"), Partition(use_case(segments=None, breaker=False))):
        lived(feed, 0, 30)
        outputs = bring(feed, packed(feed.task, "linear"), "linear")
        assert "RIVERRUN_SNAPSHOT_KEY" in str(outputs[0].value) or "no key" in str(outputs[0].value)
        assert feed.task.router.pooled["linear"].trained_on == 30


def test_pieces_come_in_their_order_and_again_without_harm() -> None:
    """One that is missing is told; a repetition is not taken twice; another parcel starts over."""
    feed = partition()
    state = bytes(range(256)) * (PIECE_BYTES_MAX // 128)
    first, second, *_ = (piece.model_dump(mode="json") for piece in pieces("a", state))
    assert letters(feed.command("a/1", "deliver", chunk=second))
    for piece in (first, second, second, first):
        record = feed.read(COMMANDS, command("a", "deliver", chunk=piece), key=b"a")
        assert feed.apply(record) == []
    assert b"".join(feed.task.restoring.pieces) == state
    feed.command("b/0", "deliver", chunk=first | {"of": "b"})
    assert (feed.task.restoring.of, len(feed.task.restoring.pieces)) == ("b", 1)
    assert "brings no piece" in letters(feed.command("c", "deliver"))[0]["error"]
