"""Every view of the page, rendered from tables in memory: no server, no browser."""

from __future__ import annotations

from collections.abc import AsyncIterator
from time import time
from typing import Any

import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from streams.config.settings import Settings
from streams.config.use_case_loader import load
from streams.monitor.store.board import OpenBoard
from streams.monitor.store.queries import Board
from streams.monitor.store.record_rows import Row, standing_name
from streams.monitor.store.table_store import MemoryStore
from streams.operations.dead_letters import Letter
from streams.web.app import page_context
from streams.web.charts.calibration_chart import CalibrationGroup
from streams.web.charts.histogram import FeatureComparison
from streams.web.routes import application
from streams.web.state.background_cache import BackgroundCache, CachedAnswer
from streams.web.state.dead_letter_cache import DeadLetterCache, DeadLetterRow
from streams.web.state.page_context import PageContext
from streams.web.state.page_model import Case
from streams.web.state.subprocess_queries import SubprocessQuery
from streams.web.state.topic_offsets import TopicOffsets, TopicSize
from streams.web.views.event import explain_args
from tests.streams.monitor.test_rules import block, worker
from tests.streams.monitor.test_view_models import DAYS, metric, rows

CASE = "flight_eta"
Client = TestClient[web.Request, web.Application]

LETTER = DeadLetterRow(
    "0/12", 1_700_000_000_000, "malformed", "weight: Field required", "weight: Field required",
    f"{CASE}.events[0] 7", "decode", 0,
)  # fmt: skip
PREDICTION = {
    "event_id": "UA1", "value": 12.0, "interval": [2.0, 22.0], "shadows": {"linear": 10.0},
    "served_by": "champion", "reason": "the champion is warm", "model": "linear", "partition": 0,
    "seq": 3, "step": 17, "contributions": {"dep_delay": 7.0}, "rest": -1.0, "reference": 6.0,
}  # fmt: skip
HISTORY = {
    "event": {"topic": "t", "partition": 0, "offset": 7, "value": {"carrier": "UA"}},
    "dead_letters": [], "features": {"dep_delay": 9.0}, "prediction": PREDICTION,
    "answered_ms": 12.0, "proved": True, "unproven": "", "first_difference": None,
    "outcome": {"topic": "o", "partition": 0, "offset": 3},
    "example": {"label": 11.0, "baseline": 9.0, "learnt": True, "delay_s": 7200.0, "kpi": 2.5,
                "source": "outcome"},
    "learnt": [{"model": "linear", "segment": None, "before": 12.0, "after": 11.9, "label": 11.0,
                "weights": [{"name": "dep_delay", "before": 0.7, "after": 0.71}]}],
}  # fmt: skip
STANDING = {
    "question": "shadow", "model": "linear", "against": "tree", "segment": None, "gain": 0.4,
    "lower": -0.1, "upper": 0.9, "alpha": 0.05, "verdict": "undecided", "blocks": 12,
    "blocks_least": 5, "blocks_needed": 20, "labelled": 5000, "missing": 12, "kpi_unit": "USD",
    "worst_lower": -1.0, "worst_upper": 1.0, "recommendation": "wait", "decided_at": None,
    "block_start": "2024-05-01T00:00:00+00:00", "strictly": "unknown",
}  # fmt: skip

DRIFT = {
    "partition": 0, "detector": "ranks", "subject": "queue_10", "was": "mean 12", "now": "mean 20",
    "since": "2024-05-01T00:00:00+00:00", "severity": "warning", "time_ms": 1_714_600_000_000,
}  # fmt: skip
CHANGE = {
    "model": "linear", "segment": None, "from_state": "challenger", "to_state": "champion",
    "cause": "operator", "who": "Ann", "why": "it is better", "command_id": "c1", "evidence": None,
    "event_time": "2024-05-01T00:00:00+00:00", "time_ms": 1_714_600_000_000, "partition": 0,
    "step": 1,
}  # fmt: skip
ALERT = {
    "alert_id": "flight_eta/lag/input#1", "rule": "lag", "subject": "input", "state": "open",
    "severity": "warning", "cause": "25,000 records wait to be read", "command": "riverrun status",
    "opened_at": "2024-05-01T00:00:00+00:00", "closed_at": None,
}  # fmt: skip


def filled() -> MemoryStore:
    """A store of ten windows, in which served is better than the baseline, and a worker."""
    store = MemoryStore([worker() | {"time": time()}])
    models = ("served", "baseline", "linear")
    store.put(rows("metrics", [metric(0, day, model, 500) for day in DAYS for model in models]))
    store.put(rows("evidence", [block(day, 900.0, 1500.0, 500) for day in DAYS]))
    definition = {"definition": "d", "file": "f", "python": "3", "river": "0", "riverrun": "0"}
    store.put(rows("definitions", [definition]))
    name, value = standing_name(STANDING), orjson.dumps(STANDING)
    store.put([Row("verdicts", name, value), Row(f"standings:{name}", "2024-05-01", value)])
    for table, record in (("drift", DRIFT), ("lifecycle", CHANGE), ("alerts", ALERT)):
        store.put([Row(table, "1", orjson.dumps(record))])
    return store


@pytest.fixture
async def client(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Client]:
    """The page of the flights with all that its views show."""
    store, use_case = filled(), load(CASE).use_case

    async def board(self: PageContext, case: Case) -> OpenBoard:
        return OpenBoard(Board(use_case, 1, store), monitored=True)

    async def sizes(self: TopicOffsets) -> list[TopicSize]:
        return [TopicSize("events", f"{CASE}.events", 1, 1_000, 12.5)]

    async def opened(self: DeadLetterCache, position: str) -> Letter | None:
        return None

    def latest(self: BackgroundCache, key: Any, work: Any) -> CachedAnswer:
        known = {
            "sampled": [CalibrationGroup(10.0, 11.0, 80), CalibrationGroup(20.0, 19.0, 80)],
            "feature": FeatureComparison("queue_10", ["1", "2"], [0.4, 0.6], [0.5, 0.5]),
            "newest": ["UA1", "UA2"],
        }
        return CachedAnswer(answer=known.get(key[0]), at=0.0)

    def keep_reading(self: DeadLetterCache) -> None:
        if not self.rows:
            self.rows.append(LETTER)
            self.causes[LETTER.error_class, LETTER.cause] += 1
            self.newest[LETTER.error_class, LETTER.cause] = LETTER.timestamp_ms
        self._is_complete.set()

    monkeypatch.setattr(PageContext, "board", board)
    monkeypatch.setattr(TopicOffsets, "read", sizes)
    monkeypatch.setattr(DeadLetterCache, "keep_reading", keep_reading)
    monkeypatch.setattr(DeadLetterCache, "opened", opened)
    monkeypatch.setattr(BackgroundCache, "latest", latest)
    context = page_context([load(CASE)], Settings(redis_url=None), "127.0.0.1", 8088)
    for prove in (True, False):
        args = explain_args(context.cases[CASE], "UA1", prove=prove)
        query = SubprocessQuery(args, answer=HISTORY, done=True, started=True)
        context.subprocess_queries._queries[args] = query
    for number, state in enumerate(("done", "under way"), 1):
        action = context.actions.begin(CASE, "command", f"promote {number}", "Ann", "better")
        action.total, action.done, action.state = 2, number, state  # type: ignore[assignment]
    async with TestClient(TestServer(application(context))) as client:
        yield client


VIEWS = {
    "/": "Is it worth having?",
    f"/{CASE}": "Label delay",
    f"/{CASE}/contest": "Model history",
    f"/{CASE}/drift?subject=queue_10": "before and now",
    f"/{CASE}/event": "Recent predictions",
    f"/{CASE}/event?id=UA1": "What the models learnt",
    f"/{CASE}/event?id=UA1&prove=1": "Identical to the last bit.",
    f"/{CASE}/event?id=unknown": "This searches the topics.",
    f"/{CASE}/dead-letters": "By cause",
    f"/{CASE}/workers?topic=events": "Live tail",
    f"/{CASE}/worth": "Create the report",
    "/enter": "The secret is the configured password",
}


@pytest.mark.parametrize("path", VIEWS)
async def test_each_view_renders_what_it_reads(client: Client, path: str) -> None:
    """No variable of a template is missing, and the text is there."""
    answer = await client.get(path)
    text = await answer.text()
    assert answer.status == 200, text
    assert VIEWS[path] in text
