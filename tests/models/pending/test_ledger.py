"""The ledger of ids: bounded, each id in one state, each prediction expired or settled once."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from models.inputs.decoder import OUTCOMES, DecodedRecord, PlainRecord
from models.metrics.issued_predictions import IssuedPredictions
from models.pending.codec import Codec, PendingPrediction, settled, state_of, time_of
from models.pending.early_outcomes import EarlyOutcomes
from models.pending.ledger import PendingLedger
from schemas.events import Outcome
from tests.support.one_partition import use_case

HORIZON, MEMORY, LIMIT = 10.0, 25.0, 6


PACKING = Codec(use_case())
ISSUED = IssuedPredictions(1.0, (2.0,), {}, 2.0, "champion", None, True, None, None, None)


def waiting(time: float) -> PendingPrediction:
    """A prediction of that event time."""
    return PendingPrediction(time, b"{}", (), ISSUED, False, False, None)


def fresh(
    horizon: float = HORIZON,
    memory: float = MEMORY,
    limit: int = LIMIT,
    limit_bytes: int = 1 << 30,
) -> PendingLedger:
    """A ledger that knows nothing."""
    return PendingLedger(horizon, memory, (limit, limit_bytes), EarlyOutcomes(4, 1 << 20), PACKING)


def early(event_id: str, time: float, key: bytes = b"k", size: int = 10) -> DecodedRecord:
    """An outcome that came before its event."""
    record = PlainRecord("outcomes", 0, 0, 0, key, b"x" * size)
    body = Outcome(event_id=event_id or "none", outcome_time=datetime.now(UTC))
    return DecodedRecord(
        OUTCOMES, record, OUTCOMES, body.model_copy(update={"event_id": event_id}), time
    )


class LedgerMachine(RuleBasedStateMachine):
    """A ledger beside plain dictionaries that say what its state should be."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = fresh()
        self.now = 0.0
        self.state: dict[str, str] = {}
        self.time: dict[str, float] = {}

    @rule(event_id=st.sampled_from("abcdefghijklmnop"), behind=st.integers(0, 9))
    def event(self, event_id: str, behind: int) -> None:
        """An event comes, as the task lets one in: of an unknown id, within the horizon."""
        if event_id in self.ledger.entries:
            return
        time = self.now - behind
        self.ledger.wait(event_id, waiting(time))
        self.state[event_id], self.time[event_id] = "waiting", time

    @rule(event_id=st.sampled_from("abcdefghijklmnop"))
    def outcome(self, event_id: str) -> None:
        """Its outcome comes, if it waits or is expired."""
        entry = self.ledger.find(event_id)
        if isinstance(entry, PendingPrediction):
            self.ledger.settle(event_id, entry, b"e" * 8, b"o" * 8)
            self.state[event_id] = "settled"

    @rule(event_id=st.sampled_from("abcdefghijklmnop"))
    def packed(self, event_id: str) -> None:
        """It is at hand no longer: nothing that is known of it changes."""
        before = self.ledger.find(event_id)
        self.ledger.pack(event_id)
        assert self.ledger.find(event_id) == before

    @rule(passed=st.sampled_from((0.0, 1.0, 4.0, 11.0, 26.0)))
    def time_passes(self, passed: float) -> None:
        """The watermark moves: what is overdue expires, what is too old is forgotten."""
        self.now += passed
        before = [self.time[i] for i, s in self.state.items() if s == "waiting"]
        expired = []
        for event_id, entry in self.ledger.overdue(self.now):
            assert self.state[event_id] == "waiting"
            assert entry.expired
            assert entry.time == self.time[event_id]
            self.state[event_id] = "expired"
            expired.append(self.time[event_id])
        assert expired == sorted(before)[: len(expired)]
        self.ledger.forget(self.now)
        for event_id in set(self.state) - set(self.ledger.entries):
            assert self.state.pop(event_id) != "waiting"

    @invariant()
    def each_id_is_in_exactly_one_state(self) -> None:
        """And it is the one that it should be."""
        for event_id, entry in self.ledger.entries.items():
            assert ("settled", "waiting", "expired")[state_of(entry)] == self.state[event_id]
            assert time_of(entry) == self.time[event_id]
            if self.state[event_id] == "settled":
                assert entry == settled(self.time[event_id], b"e" * 8, b"o" * 8)
        assert self.state.keys() == self.ledger.entries.keys()

    @invariant()
    def what_waits_is_counted(self) -> None:
        """Never less than nothing."""
        states = list(self.state.values())
        assert self.ledger.waiting == states.count("waiting")


class AfterTime(LedgerMachine):
    """The same, with time passing after each step, as in a task: the bounds hold then."""

    @invariant()
    def all_is_bounded(self) -> None:
        """Waiting ids, known ids, and the heaps behind them; none is older than its time."""
        self.time_passes_quietly()
        waits = [i for i, state in self.state.items() if state == "waiting"]
        assert len(waits) <= LIMIT
        assert all(self.time[i] >= self.now - HORIZON for i in waits)
        assert len(self.state) - len(waits) <= LIMIT
        assert all(self.time[i] >= self.now - MEMORY for i in self.state)

    def time_passes_quietly(self) -> None:
        """No time passes, but the bounds are kept."""
        self.time_passes(0.0)


TestLedger = LedgerMachine.TestCase
TestBounds = AfterTime.TestCase
TestLedger.settings = TestBounds.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None
)


def test_an_id_used_again_after_it_was_forgotten_waits_its_own_time():
    """Nothing that is left of its first life ends its second one early, or twice."""
    ledger = fresh(limit=1)
    ledger.wait("a", waiting(0.0))
    ledger.settle("a", waiting(0.0), b"e" * 8, b"o" * 8)
    ledger.wait("b", waiting(1.0))
    ledger.settle("b", waiting(1.0), b"e" * 8, b"o" * 8)
    ledger.forget(2.0)
    assert list(ledger.entries) == ["b"]
    ledger.wait("a", waiting(5.0))
    assert list(ledger.overdue(12.0)) == []
    assert [event_id for event_id, _ in ledger.overdue(15.1)] == ["a"]
    assert list(ledger.overdue(99.0)) == []
    assert ledger.waiting == 0


def test_a_prediction_expires_strictly_after_its_horizon():
    """An outcome exactly at the horizon is in time."""
    ledger = fresh(limit=9)
    ledger.wait("a", waiting(0.0))
    assert list(ledger.overdue(HORIZON)) == []
    assert len(list(ledger.overdue(HORIZON + 1e-6))) == 1


def test_past_the_limit_the_oldest_event_expires_first_whatever_came_first():
    """Oldest by event time."""
    ledger = fresh(1e9, 1e9, 2)
    for event_id, time in (("new", 9.0), ("old", 1.0), ("middle", 5.0), ("newest", 10.0)):
        ledger.wait(event_id, waiting(time))
    assert [event_id for event_id, _ in ledger.overdue(10.0)] == ["old", "middle"]
    assert ledger.waiting == 2


def test_memory_follows_what_waits_and_not_the_horizon():
    """A year's horizon and quick outcomes: no heap grows with the events of a year."""
    ledger = fresh(86_400.0 * 365, 86_400.0 * 730, 50)
    for n in range(20_000):
        ledger.wait(str(n), waiting(float(n)))
        ledger.settle(str(n), waiting(float(n)), b"e" * 8, b"o" * 8)
        list(ledger.overdue(float(n)))
        ledger.forget(float(n))
    assert len(ledger.entries) <= 50
    assert ledger._pending.size <= 1_100
    assert ledger._known.size <= 51


def test_changes_are_noted_only_for_a_keeper_of_snapshots():
    """Else the ids of all time would be held; with one, each change is named once."""
    ledger = fresh()
    ledger.wait("a", waiting(0.0))
    assert ledger.changed is None
    ledger.changed = set()
    ledger.wait("b", waiting(1.0))
    ledger.settle("a", waiting(0.0), b"e" * 8, b"o" * 8)
    assert ledger.changed == {"a", "b"}
    ledger.changed.clear()
    list(ledger.overdue(20.0))
    ledger.forget(26.5)
    assert ledger.changed == {"a", "b"}
    assert ledger.entries == {}


@given(st.lists(st.tuples(st.text("abcé", max_size=3), st.integers(0, 50)), max_size=30))
@settings(max_examples=60, deadline=None)
def test_early_outcomes_are_bounded_and_given_up_in_the_order_of_their_coming(
    came: list[tuple[str, int]],
):
    """Each is held, given up, or taken: none is lost and none is given up twice."""
    ledger = fresh()
    given_up: list[DecodedRecord] = []
    held: list[DecodedRecord] = []
    now = 0.0
    for event_id, time in came:
        if event_id in ledger.early:
            continue
        outcome = early(event_id, float(time))
        held.append(outcome)
        given_up += ledger.early.hold(event_id, outcome)
        assert len(ledger.early) <= 4
        now = max(now, float(time))
        given_up += ledger.stale_early(now)
    left = list(ledger.early.values())
    assert [id(one) for one in given_up + left] == [id(one) for one in held]
    given_up += ledger.stale_early(now + HORIZON + 1.0)
    assert ledger.early == {}


def test_junk_of_one_key_pushes_out_no_outcome_of_another():
    """Twenty honest ones of many keys stay, though ten thousand of one key come after them."""
    held = EarlyOutcomes(100, 1 << 20)
    for n in range(20):
        assert held.hold(f"h{n}", early(f"h{n}", 0.0, b"%d" % n)) == []
    given_up = [
        taken.body.event_id
        for n in range(10_000)
        for taken in held.hold(f"j{n}", early(f"j{n}", 0.0, b"junk"))
    ]
    assert given_up == [f"j{n}" for n in range(10_000 - 80)]
    assert [i for i in held if i[0] == "h"] == [f"h{n}" for n in range(20)]


def test_early_outcomes_are_bounded_in_bytes():
    """Large ones of one key make room for each other, small ones of other keys stay."""
    held = EarlyOutcomes(1_000, 100_000)
    held.hold("small", early("small", 0.0, b"a"))
    given_up = []
    for n in range(20):
        given_up += held.hold(f"l{n}", early(f"l{n}", 0.0, b"b", 20_000))
        assert sum(len(taken.record.value or b"") for taken in held.values()) <= 100_000
    assert "small" in held
    assert len(given_up) == 16


@given(
    st.lists(
        st.tuples(st.integers(0, 30), st.sampled_from((b"a", b"b", b"c")), st.integers(0, 900))
    )
)
@settings(max_examples=100, deadline=None)
def test_a_restored_store_of_early_outcomes_gives_up_the_same(
    came: list[tuple[int, bytes, int]],
):
    """What goes next follows from what is held, not from how it came about."""
    one = EarlyOutcomes(5, 2_000)
    for number, (n, key, size) in enumerate(came):
        event_id = f"e{n}"
        other = EarlyOutcomes(5, 2_000)
        other.restore(one)
        if event_id in one:
            assert (one.pop(event_id), other.pop(event_id)) != (None, None)
        else:
            outcome = early(event_id, float(number), key, size)
            assert one.hold(event_id, outcome) == other.hold(event_id, outcome)
        assert list(one.items()) == list(other.items())
        assert one.room == other.room <= 2_000


def test_waiting_predictions_are_bounded_in_bytes():
    """The oldest expire early, whatever their number, and their ids are bounded alike."""
    ledger = fresh(limit=1_000, limit_bytes=10_000)
    large = waiting(0.0)._replace(event=b"{" + b" " * 998 + b"}")
    for n in range(50):
        ledger.wait(f"e{n:02}", large._replace(time=float(n) / 10))
        if ledger.due(0.0):
            list(ledger.overdue(0.0))
            ledger.forget(0.0)
        assert ledger.waiting_bytes <= 10_000
        assert ledger.known_bytes <= 10_000
    assert ledger.waiting == 10
    assert len(ledger.entries) == 19
    copy = fresh(limit=1_000, limit_bytes=10_000)
    copy.restore(dict(ledger.entries), {})
    assert (copy.waiting_bytes, copy.known_bytes) == (ledger.waiting_bytes, ledger.known_bytes)
    list(ledger.overdue(1e9))
    ledger.forget(1e9)
    assert (ledger.waiting_bytes, ledger.known_bytes) == (0, 0)


def test_a_restored_ledger_goes_on_as_the_one_it_was_saved_from():
    """The heaps, made again from the entries, expire and forget the same ids at the same times."""
    ledger = fresh(limit=9)
    for n, event_id in enumerate("abcdef"):
        ledger.wait(event_id, waiting(float(n)))
    ledger.settle("b", waiting(1.0), b"e" * 8, b"o" * 8)
    list(ledger.overdue(12.5))
    copy = fresh(limit=9)
    copy.restore(dict(ledger.entries), dict(ledger.early))
    for now in (13.0, 14.5, 20.0, 25.5, 27.0, 99.0):
        assert list(copy.overdue(now)) == list(ledger.overdue(now))
        ledger.forget(now)
        copy.forget(now)
        assert list(copy.entries) == list(ledger.entries)
        assert [*map(copy.find, copy.entries)] == [*map(ledger.find, ledger.entries)]
        assert copy.waiting == ledger.waiting
