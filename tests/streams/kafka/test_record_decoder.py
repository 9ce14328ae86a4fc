"""Records that are none: every reader leaves them out, counts them and says which was the first."""

from __future__ import annotations

import io
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import orjson
import pytest
from aiokafka import TopicPartition
from rich.console import Console

from models.task.learner_task import LearnerTask
from riverrun.client.predictions import CommittedReader
from schemas.errors import Incompatible
from schemas.topics import CATALOGUE, LEARNER
from streams.cli.shared.terminal import TerminalTable, data
from streams.cli.shared.text_tables import importance
from streams.kafka.record_decoder import RecordDecoder, content, decoded
from streams.monitor.store.record_rows import KINDS, rows_of
from streams.monitor.store.view_models import Importance
from streams.replay.kafka_log import journal_entry
from tests.streams.monitor.test_view_models import REST, metric
from tests.support.closed_blocks import case, evidence
from tests.support.memory import Record
from usecases.phishing import PHISHING

JUNK = [
    b"",
    b"junk",
    b"\xff\xfe",
    b"null",
    b"[]",
    b"{}",
    b"7",
    b'"text"',
    b"[" * 300 + b"]" * 300,
    b'{"event_id": 7}',
    b'{"command_id": null, "partition": "x"}',
]


@pytest.mark.parametrize("kind", [topic.kind for topic in CATALOGUE])
def test_junk_is_no_record_of_any_topic(kind: str) -> None:
    """It is a `ValueError` that says why, and nothing else."""
    for value in (None, *JUNK):
        with pytest.raises(ValueError, match="it "):
            content(kind, Record(f"shop.{kind}", 0, 0, value))


@pytest.mark.parametrize("kind", ["lifecycle", "drift"])
def test_what_the_learner_writes_is_on_partition_0(kind: str) -> None:
    """It is of no partition, and read from partition 0 alone."""
    case = replace(PHISHING, learning="shared", partitions=2)
    learner = LearnerTask(case, partitions=2, definition="d")
    begun = {"to_state": "champion", "cause": "rule", "who": "x", "why": "y"}
    out = [learner.lifecycle_log.change("logistic", **begun)]
    change = {
        "detector": "x", "subject": "labels", "was": "a", "now": "b", "severity": "notice",
        "since": "2024-05-01T00:00:00Z", "use_case": "phishing",
    }  # fmt: skip
    out.append(learner.publish.drift(change, 0))
    value = next(output.value for output in out if output.kind == kind)
    assert content(kind, Record(f"shop.{kind}", 0, 0, value))["partition"] == LEARNER
    with pytest.raises(ValueError, match="of partition -1"):
        content(kind, Record(f"shop.{kind}", 1, 0, value))


@pytest.mark.parametrize(
    "wrong",
    [
        {"partition": 1},
        {"partition": "0"},
        {"sums": {}},
        {"sums": {"n": -1.0}},
        {"sums": {"n": 1.0, "correct": 2.0}},
        {"predictions": 1.5},
        {"window_start": "1714521600"},
        {"window_start": "yesterday"},
        {"kpi_sum": "12"},
        {"model": ["served"]},
    ],
)
def test_a_record_of_the_right_shape_that_cannot_be_is_none(wrong: dict[str, Any]) -> None:
    """Texts for numbers, another partition's, sums that would end in a division or a root."""
    right = REST["metrics"] | metric(0, "2024-05-01T00:00:00+00:00", "served", 10)
    assert content("metrics", Record("m", 0, 0, orjson.dumps(right))) == right
    with pytest.raises(ValueError, match=r"its? |isoformat"):
        content("metrics", Record("m", 0, 0, orjson.dumps(right | wrong)))


@pytest.mark.parametrize(
    "wrong",
    [
        {"kpi": {"served": 1e300, "baseline": 0.0}},
        {"paired": {"baseline": -1e9, "linear": 0.0}},
        {"missing": -5},
        {"block_s": 0.0},
        {"began": {"linear": "1714521600"}},
        {"kpi_n": 1},
    ],
)
def test_evidence_beyond_the_declared_range_is_not_folded(wrong: dict[str, Any]) -> None:
    """A mean gain outside the KPI's range ended the decider, and `worth`."""
    reading, kpi = RecordDecoder(), case().kpi
    right = evidence(0, 1)
    assert reading.row("evidence", Record("e", 0, 0, orjson.dumps(right)), kpi.check_sums)
    wronged = Record("e", 0, 1, orjson.dumps(right | wrong))
    assert reading.row("evidence", wronged, kpi.check_sums) is None
    assert reading.unreadable.count == 1


def test_what_a_worker_takes_a_reader_reads() -> None:
    """NaN in a field that nobody declared, and numbers of more than 64 bits."""
    value = b'{"event_id": "e1", "more": [NaN, -Infinity], "many": 123456789012345678901234567890}'
    body = content("events", Record("e", 0, 0, value))
    assert body["event_id"] == "e1"
    assert body["many"] == 123456789012345678901234567890.0
    assert b"null" in orjson.dumps(body)
    assert decoded(b'{"a": 1e999}') == {"a": float("inf")}
    assert decoded(b'{"a": -' + b"9" * 4_000 + b', "b": NaN}')["a"] == float("-inf")


def test_a_timestamp_that_is_no_time_is_told() -> None:
    """A producer may set any 64 bits."""
    value = b'{"event_id": "e1"}'
    for timestamp in (2**62, -(2**62)):
        with pytest.raises(ValueError, match="timestamp"):
            content("events", Record("e", 0, 0, value, timestamp=timestamp))


class Topic(RecordDecoder):
    """A partition in memory."""

    def __init__(self, *values: bytes) -> None:
        super().__init__()
        self._values = values

    async def records(
        self, tp: TopicPartition, start: int = 0, end: int | None = None
    ) -> AsyncIterator[Any]:
        """All of them."""
        for offset, value in enumerate(self._values):
            yield Record(tp.topic, tp.partition, offset, value)


async def test_what_is_left_out_is_counted_and_the_first_is_named() -> None:
    """The rest is read."""
    topic = Topic(b'{"event_id": "a"}', b"junk [/x]", b'{"event_id": "b"}', b"{}")
    tp = TopicPartition("shop.events", 0)
    assert [row["event_id"] async for _, row in topic.rows("events", tp)] == ["a", "b"]
    assert str(topic.unreadable).startswith(
        "2 records could not be read, the first at shop.events[0]@1: it is not JSON"
    )


@pytest.mark.parametrize("kind", KINDS)
def test_the_monitor_leaves_junk_out(kind: str) -> None:
    """It puts no rows, and is counted."""
    unread = RecordDecoder().unreadable
    for value in JUNK:
        assert rows_of(kind, Record(kind, 0, 0, value), unread) == []
    assert unread.count == len(JUNK)


def test_the_journal_is_never_read_past_what_is_no_entry() -> None:
    """Its order is the state: an error that names the place and the ways on."""
    for value in JUNK:
        with pytest.raises(Incompatible, match=r"shop\.journal\[0\]@7 .*--prefix"):
            journal_entry(Record("shop.journal", 0, 7, value))


MARKS = ["[/x]", "[bold", "[red]a[/red]", ":warning:", "[link=file:///etc]x[/link]", "\\[", "[/]"]


@pytest.mark.parametrize("mark", MARKS)
def test_what_records_say_is_text_on_a_terminal(
    mark: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """In cells, headers and titles, on any console; and in lines."""
    table = TerminalTable(mark, "other", title=mark, box=None)
    table.add_column(mark)
    table.add_row(mark, "1", mark)
    out = io.StringIO()
    Console(file=out, width=200).print(table)
    assert out.getvalue().count(mark) == 5
    out = io.StringIO()
    Console(file=out, width=200).print(importance([Importance("2024", {mark: 1.0})]))
    assert mark in out.getvalue()
    data.print(mark)
    assert capsys.readouterr().out.strip() == mark


def test_followers_tell_once_and_not_for_every_record(caplog: pytest.LogCaptureFixture) -> None:
    """A flood of junk does not flood the log."""
    from streams.config.settings import Settings
    from streams.kafka.topic_reader import TopicReader

    reader = TopicReader(["t"], Settings())
    with caplog.at_level(logging.WARNING):
        for offset in range(1_000):
            reader.row("lifecycle", Record("t", 0, offset, b"junk"))
        reader._tell()
        reader._tell()
    assert len(caplog.records) == 1


def test_a_consumer_leaves_junk_out_and_its_position_moves_on() -> None:
    """One junk record on `predictions` ended every program that reads them."""
    reader = CommittedReader("127.0.0.1:1", "shop")
    for offset, value in enumerate(JUNK):
        assert reader._taken(Record("shop.predictions", 0, offset, value)) is None
    assert reader.position == {"0": [len(JUNK), -1]}
    assert reader.unreadable.count == len(JUNK)
    assert "shop.predictions[0]@0" in str(reader.unreadable)
