from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from time import time
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from schemas.errors import ConfigError
from schemas.records import Alert
from streams.config.settings import Settings
from streams.monitor import conditions
from streams.monitor.alert_context import LIMITS, AlertContext, Observation, parse_limits
from streams.monitor.alert_state import AlertState
from streams.monitor.rules import AlertRule, rules
from streams.monitor.store import event_queries
from streams.monitor.store.record_rows import Row
from streams.monitor.store.table_store import MemoryStore
from streams.monitor.store.view_models import AlertRow, Mute
from streams.monitor.webhook_outbox import ALERTS_MAX, Outbox, is_held_back
from streams.monitor.webhook_sender import Webhook
from streams.operations.alert_mutes import length_of


class Told:
    """What a rule is made to see."""

    def __init__(self) -> None:
        self.seen: list[Observation] = []

    def look(self, _: AlertContext) -> Iterable[Observation]:
        """It."""
        return self.seen


def context(now_s: float) -> AlertContext:
    """A moment; nothing else of it is looked at here."""
    nothing: Any = None
    return AlertContext(nothing, now_s, LIMITS, nothing, (), (), (), (), ())


def row_of(alert: Alert) -> AlertRow:
    """As it comes back from the topic."""
    fields = json.loads(alert.model_dump_json())
    return AlertRow(**{name: fields[name] for name in AlertRow.__slots__})


class Topic:
    """The `alerts` topic, and a monitor that may be restarted at any moment."""

    def __init__(self, after_s: float = 0.0, quiet_s: float = 10.0) -> None:
        self.told = Told()
        self.rule = AlertRule(
            "lag", "warning", "about", "look {subject}", self.told.look, after_s, quiet_s
        )
        self.records: list[Alert] = []
        self.start()

    def start(self) -> None:
        """A monitor that knows nothing but the topic."""
        self.alerting = AlertState("uc", [self.rule])

    def look(self, now_s: float, *seen: Observation) -> list[str]:
        """What is published at that moment."""
        self.told.seen = list(seen)
        newest = {(a.alert_id, a.opened_at): row_of(a) for a in self.records}
        changes = self.alerting.step(context(now_s), newest.values())
        self.records += changes
        return [f"{alert.alert_id} {alert.state}" for alert in changes]


def test_an_alert_opens_once_and_closes_itself_after_quiet() -> None:
    """However long it is seen, one opening; closed when it was gone for `quiet_s`, not before."""
    topic, bad = Topic(), Observation("input", "many")
    assert topic.look(0.0, bad) == ["uc/lag/input#1 open"]
    assert [topic.look(float(t), bad) for t in range(1, 50)] == [[]] * 49
    assert topic.look(50.0) == []
    assert topic.look(59.0) == []
    assert topic.look(60.0) == ["uc/lag/input#1 closed"]
    assert topic.look(70.0, bad) == ["uc/lag/input#2 open"]


def test_what_comes_and_goes_does_not_flap() -> None:
    """Seen every other second: never opens if it must last, never closes if it must be quiet."""
    slow, bad = Topic(after_s=5.0), Observation("input", "many")
    for t in range(100):
        assert slow.look(float(t), *([bad] if t % 2 else [])) == []
    quick = Topic()
    messages = [
        text for t in range(100) for text in quick.look(float(t), *([bad] if t % 2 else []))
    ]
    assert messages == ["uc/lag/input#1 open"]


def test_between_the_two_bounds_nothing_changes() -> None:
    """The band keeps an open alert open and opens none."""
    topic = Topic()
    assert topic.look(0.0, Observation("input", "some", opens=False)) == []
    assert topic.look(1.0, Observation("input", "many")) == ["uc/lag/input#1 open"]
    for t in range(2, 60):
        assert topic.look(float(t), Observation("input", "some", opens=False)) == []


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.sampled_from("ab")), max_size=60))
def test_however_often_it_is_restarted_nothing_opens_twice(
    steps: list[tuple[bool, bool, str]],
) -> None:
    """Openings and closings of a subject alternate, whenever the monitor is restarted."""
    topic = Topic(quiet_s=0.0)
    for number, (bad, restart, subject) in enumerate(steps):
        if restart:
            topic.start()
        topic.look(float(number), *([Observation(subject, "many")] if bad else []))
    for subject in "ab":
        states = [a.state for a in topic.records if a.subject == subject]
        assert states == ["open", "closed"] * (len(states) // 2) + ["open"] * (len(states) % 2)


def test_a_restarted_monitor_closes_what_another_opened() -> None:
    """It is known from the topic alone."""
    topic = Topic()
    topic.look(0.0, Observation("input", "many"))
    topic.start()
    topic.look(1.0)
    assert topic.look(11.0) == ["uc/lag/input#1 closed"]


def test_limits_are_changed_by_name_and_a_wrong_one_is_refused() -> None:
    """With the names that there are."""
    assert parse_limits("lag_records=7, gone_s=1")["gone_s"] == 1.0
    with pytest.raises(ConfigError, match="lag_record=7") as refused:
        parse_limits("lag_record=7")
    assert "lag_records" in str(refused.value)
    with pytest.raises(ConfigError):
        parse_limits("lag_records=many")


def test_a_command_is_quoted_and_names_the_prefix() -> None:
    """So that it can be pasted."""
    told = Told()
    rule = AlertRule("drift", "warning", "about", "drift {use_case} --subject {subject}", told.look)
    told.seen = [Observation("error:a b", "x")]
    (alert,) = AlertState("uc", [rule], "demo-1.").step(context(0.0), [])
    assert alert.command == "riverrun drift uc --subject 'error:a b' --prefix demo-1."


def test_names_of_rules_are_unique() -> None:
    """They are part of an alert's id."""
    names = [rule.name for rule in rules(LIMITS)]
    assert len(set(names)) == len(names)


class Store(MemoryStore):
    """Store as Redis keeps them: what waits is still there for another monitor."""

    async def add(self, rows: Iterable[Row]) -> None:
        """Put rows."""
        self.put(rows)

    async def remove(self, name: str, fields: Sequence[str]) -> None:
        """Remove fields of a table."""
        for field in fields:
            self._tables.get(name, {}).pop(field, None)


class Box:
    """A use case's outbox, watched by this process."""

    def __init__(self, store: Store) -> None:
        self.outbox = Outbox(store)
        self.window: Mute | None = None

    async def is_leader(self) -> bool:
        """It is."""
        return True

    async def muted(self) -> Mute | None:
        """The maintenance window."""
        return self.window


class Receiver:
    """A webhook's receiver, which refuses while `status` says so. async with → the settings."""

    def __init__(self) -> None:
        self.status = 200
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.came = asyncio.Event()

    async def __aenter__(self) -> Settings:
        app = web.Application()
        app.router.add_post("/hook", self._take)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        port = self._runner.addresses[0][1]
        return Settings(
            riverrun_alert_webhook=SecretStr(f"http://127.0.0.1:{port}/hook?token=hidden"),
            riverrun_alert_webhook_secret=SecretStr("the secret of the hook"),
        )

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        self.got.append((dict(request.headers), await request.read()))
        self.came.set()
        return web.Response(status=self.status)

    async def next(self) -> None:
        """Wait until something comes."""
        async with asyncio.timeout(20):
            await self.came.wait()
        self.came.clear()

    @property
    def states(self) -> list[str]:
        """What was told, in its order, repetitions left out."""
        sent = [f"{a['alert_id']} {a['state']}" for a in (json.loads(b) for _, b in self.got)]
        return list(dict.fromkeys(sent))


def raised(*states: str) -> list[Alert]:
    """The same alert's records."""
    topic, now = Topic(quiet_s=0.0), datetime(2024, 5, 1, tzinfo=UTC).timestamp()
    for number, state in enumerate(states):
        topic.look(now + 20 * number, *([Observation("input", "many")] if state == "open" else []))
    return topic.records


async def test_a_webhook_gets_each_alert_signed_and_again_after_a_failure() -> None:
    """Refused once: sent again. The signature holds over time and body; no secret is in either."""
    receiver, box = Receiver(), Box(Store())
    receiver.status = 503
    (alert,) = raised("open")
    async with receiver as settings:
        sending = asyncio.create_task(Webhook(settings).run([box]))
        await box.outbox.put(alert, time(), muted=False)
        await receiver.next()
        receiver.status = 200
        await receiver.next()
        sending.cancel()
    headers, body = receiver.got[1]
    assert Alert.model_validate_json(body) == alert
    signed = f"{headers['Riverrun-Timestamp']}.".encode() + body
    due = hmac.new(b"the secret of the hook", signed, hashlib.sha256).hexdigest()
    assert headers["Riverrun-Signature"] == f"sha256={due}"
    assert b"hidden" not in body
    assert b"secret" not in body


async def test_what_a_receiver_that_was_down_did_not_take_is_sent_when_it_is_back() -> None:
    """By another monitor, too, in its order; meanwhile it is told how many wait, and why."""
    receiver, store = Receiver(), Store()
    box = Box(store)
    receiver.status = 500
    async with receiver as settings:
        sending = asyncio.create_task(Webhook(settings).run([box]))
        for alert in raised("open", "closed"):
            await box.outbox.put(alert, time(), muted=False)
            await asyncio.sleep(0.002)
        await receiver.next()
        await receiver.next()
        sending.cancel()
        told = await event_queries.delivery(store)
        assert told is not None
        assert (told.waiting, told.why) == (2, "HTTP 500")
        assert (
            "2 alerts wait"
            in next(iter(conditions.undelivered(replace(context(0.0), delivery=told)))).cause
        )
        receiver.status = 200
        receiver.got.clear()
        receiver.came.clear()
        sending = asyncio.create_task(Webhook(settings).run([Box(store)]))
        await receiver.next()
        async with asyncio.timeout(20):
            while await box.outbox.waiting():  # noqa: ASYNC110 - a table tells nobody
                await asyncio.sleep(0.01)
        sending.cancel()
    assert receiver.states == ["uc/lag/input#1 open", "uc/lag/input#1 closed"]
    assert await event_queries.delivery(store) is None


@pytest.mark.slow
async def test_what_waits_is_bounded_and_what_is_given_up_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The oldest make room; after a day an alert is dropped."""
    store, (alert,) = Store(), raised("open")
    box = Box(store)
    for n in range(ALERTS_MAX + 3):
        await box.outbox.put(alert.model_copy(update={"alert_id": f"a#{n}"}), float(n), muted=False)
    waiting = await box.outbox.waiting()
    assert [waiting[0].alert.alert_id, len(waiting)] == ["a#3", ALERTS_MAX]
    assert "a#0 is dropped" in caplog.text
    async with Receiver() as settings:
        sending = asyncio.create_task(Webhook(settings).run([box]))
        async with asyncio.timeout(60):
            while await box.outbox.waiting():  # noqa: ASYNC110 - a table tells nobody
                await asyncio.sleep(0.01)
        sending.cancel()
    assert "not accepted for 24 hours" in caplog.text


async def test_in_a_maintenance_window_nothing_is_sent_and_what_is_open_after_it_is() -> None:
    """What opened and closed within it is never sent; rules that are not muted are."""
    receiver, box = Receiver(), Box(Store())
    box.window = Mute("2100-01-01T00:00:00+00:00", ("lag",), "Ann", "upgrade")
    opened, closed = raised("open", "closed")
    other = opened.model_copy(update={"alert_id": "uc/drift/x#1", "rule": "drift"})
    still = opened.model_copy(update={"alert_id": "uc/lag/y#1"})
    async with receiver as settings:
        sending = asyncio.create_task(Webhook(settings).run([box]))
        for alert in (opened, closed, still, other):
            await box.outbox.put(alert, time(), muted=is_held_back(alert, box.window))
            await asyncio.sleep(0.002)
        await receiver.next()
        assert receiver.states == ["uc/drift/x#1 open"]
        box.window = None
        await receiver.next()
        sending.cancel()
    assert receiver.states == ["uc/drift/x#1 open", "uc/lag/y#1 open"]


@pytest.mark.parametrize("text", ["", "0h", "8d", "soon", "-2h", "2 weeks", "1e3h"])
def test_a_window_has_a_length(text: str) -> None:
    """Of at most a week."""
    with pytest.raises(ConfigError):
        length_of(text)


def test_a_webhook_that_is_no_address_is_refused() -> None:
    """Without saying what it was."""
    with pytest.raises(ConfigError) as refused:
        Webhook(Settings(riverrun_alert_webhook=SecretStr("ftp://user:word@host")))
    assert "word" not in str(refused.value)
