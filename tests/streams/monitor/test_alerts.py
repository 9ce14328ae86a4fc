from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from schemas.errors import Misdeclared
from schemas.records import Alert
from streams.monitor.alerting import Alerting
from streams.monitor.figures import AlertRow
from streams.monitor.rules import Rule, rules
from streams.monitor.scene import LIMITS, Scene, Seen, limits_of
from streams.monitor.webhooks import Webhook
from streams.settings import Settings


class Told:
    """What a rule is made to see."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []

    def look(self, _: Scene) -> Iterable[Seen]:
        """It."""
        return self.seen


def scene(now_s: float) -> Scene:
    """A moment; nothing else of it is looked at here."""
    nothing: Any = None
    return Scene(nothing, now_s, LIMITS, nothing, (), (), (), (), 0, ())


def row_of(alert: Alert) -> AlertRow:
    """As it comes back from the topic."""
    fields = json.loads(alert.model_dump_json())
    return AlertRow(**{name: fields[name] for name in AlertRow.__slots__})


class Topic:
    """The `alerts` topic, and a monitor that may be started anew at any moment."""

    def __init__(self, after_s: float = 0.0, quiet_s: float = 10.0) -> None:
        self.told = Told()
        self.rule = Rule(
            "lag", "warning", "about", "look {subject}", self.told.look, after_s, quiet_s
        )
        self.records: list[Alert] = []
        self.start()

    def start(self) -> None:
        """A monitor that knows nothing but the topic."""
        self.alerting = Alerting("uc", [self.rule])

    def look(self, now_s: float, *seen: Seen) -> list[str]:
        """What is published at that moment."""
        self.told.seen = list(seen)
        newest = {(a.alert_id, a.opened_at): row_of(a) for a in self.records}
        found = self.alerting.step(scene(now_s), newest.values())
        self.records += found
        return [f"{alert.alert_id} {alert.state}" for alert in found]


def test_an_alert_opens_once_and_closes_itself_after_quiet() -> None:
    """However long it is seen, one opening; closed when it was gone for `quiet_s`, not before."""
    topic, bad = Topic(), Seen("input", "many")
    assert topic.look(0.0, bad) == ["uc/lag/input#1 open"]
    assert [topic.look(float(t), bad) for t in range(1, 50)] == [[]] * 49
    assert topic.look(50.0) == []
    assert topic.look(59.0) == []
    assert topic.look(60.0) == ["uc/lag/input#1 closed"]
    assert topic.look(70.0, bad) == ["uc/lag/input#2 open"]


def test_what_comes_and_goes_does_not_flap() -> None:
    """Seen every other second: never opens if it must last, never closes if it must be quiet."""
    slow, bad = Topic(after_s=5.0), Seen("input", "many")
    for t in range(100):
        assert slow.look(float(t), *([bad] if t % 2 else [])) == []
    quick = Topic()
    said = [text for t in range(100) for text in quick.look(float(t), *([bad] if t % 2 else []))]
    assert said == ["uc/lag/input#1 open"]


def test_between_the_two_bounds_nothing_changes() -> None:
    """The band keeps an open alert open and opens none."""
    topic = Topic()
    assert topic.look(0.0, Seen("input", "some", opens=False)) == []
    assert topic.look(1.0, Seen("input", "many")) == ["uc/lag/input#1 open"]
    for t in range(2, 60):
        assert topic.look(float(t), Seen("input", "some", opens=False)) == []


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.sampled_from("ab")), max_size=60))
def test_however_often_it_is_restarted_nothing_opens_twice(
    steps: list[tuple[bool, bool, str]],
) -> None:
    """Openings and closings of a subject alternate, whenever the monitor is started anew."""
    topic = Topic(quiet_s=0.0)
    for number, (bad, restart, subject) in enumerate(steps):
        if restart:
            topic.start()
        topic.look(float(number), *([Seen(subject, "many")] if bad else []))
    for subject in "ab":
        states = [a.state for a in topic.records if a.subject == subject]
        assert states == ["open", "closed"] * (len(states) // 2) + ["open"] * (len(states) % 2)


def test_a_restarted_monitor_closes_what_another_opened() -> None:
    """It is known from the topic alone."""
    topic = Topic()
    topic.look(0.0, Seen("input", "many"))
    topic.start()
    topic.look(1.0)
    assert topic.look(11.0) == ["uc/lag/input#1 closed"]


def test_limits_are_changed_by_name_and_a_wrong_one_is_refused() -> None:
    """With the names that there are."""
    assert limits_of("lag_records=7, gone_s=1")["gone_s"] == 1.0
    with pytest.raises(Misdeclared, match="lag_record=7") as refused:
        limits_of("lag_record=7")
    assert "lag_records" in str(refused.value)
    with pytest.raises(Misdeclared):
        limits_of("lag_records=many")


def test_a_command_is_quoted_and_names_the_prefix() -> None:
    """So that it can be pasted."""
    told = Told()
    rule = Rule(
        "drift", "warning", "about", "riverrun drift {use_case} --subject {subject}", told.look
    )
    told.seen = [Seen("error:a b", "x")]
    (alert,) = Alerting("uc", [rule], "demo-1.").step(scene(0.0), [])
    assert alert.command == "riverrun drift uc --subject 'error:a b' --prefix demo-1."


def test_names_of_rules_are_unique() -> None:
    """They are part of an alert's id."""
    names = [rule.name for rule in rules(LIMITS)]
    assert len(set(names)) == len(names)


async def test_a_webhook_gets_each_alert_signed_and_again_after_a_failure() -> None:
    """Refused once: sent again. The signature holds over time and body; no secret is in either."""
    got: list[tuple[dict[str, str], bytes]] = []
    taken = asyncio.Event()

    async def take(request: web.Request) -> web.Response:
        got.append((dict(request.headers), await request.read()))
        if len(got) == 2:
            taken.set()
        return web.Response(status=503 if len(got) == 1 else 200)

    app = web.Application()
    app.router.add_post("/hook", take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    settings = Settings(
        riverrun_alert_webhook=SecretStr(f"http://127.0.0.1:{port}/hook?token=hidden"),
        riverrun_alert_webhook_secret=SecretStr("the secret of the hook"),
    )
    webhook = Webhook(settings)
    sending = asyncio.create_task(webhook.run())
    now = datetime(2024, 5, 1, tzinfo=UTC)
    topic = Topic()
    topic.look(now.timestamp(), Seen("input", "many"))
    webhook.offer(topic.records[0])
    async with asyncio.timeout(20):
        await taken.wait()
    sending.cancel()
    await runner.cleanup()
    headers, body = got[1]
    assert Alert.model_validate_json(body) == topic.records[0]
    signed = f"{headers['Riverrun-Timestamp']}.".encode() + body
    due = hmac.new(b"the secret of the hook", signed, hashlib.sha256).hexdigest()
    assert headers["Riverrun-Signature"] == f"sha256={due}"
    assert b"hidden" not in body
    assert b"secret" not in body


def test_a_webhook_that_is_no_address_is_refused() -> None:
    """Without saying what it was."""
    with pytest.raises(Misdeclared) as refused:
        Webhook(Settings(riverrun_alert_webhook=SecretStr("ftp://user:word@host")))
    assert "word" not in str(refused.value)
