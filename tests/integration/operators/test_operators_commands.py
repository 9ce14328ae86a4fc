"""What operators do: commands to all partitions, registry, tails, dead letters, repartition."""

from __future__ import annotations

import asyncio
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiokafka import AIOKafkaProducer

from schemas.commands import Verb
from schemas.errors import Incompatible
from streams.embedded import Endpoints
from streams.inspection.model_card import card, markdown
from streams.inspection.model_registry import changes, gather, together
from streams.inspection.tail import filter_of, tail
from streams.operations.command_sender import CommandResult, new_command, send_command
from streams.operations.dead_letters import ATTEMPT_HEADER, LETTER_HEADER, letters, redrive
from streams.operations.repartition import repartition
from streams.replay.verify import Verifier
from tests.support.loop import SOURCE, Loop, parcels

pytestmark = pytest.mark.integration

ROWS = parcels(200)
IDS = [str(fields["event_id"]) for kind, fields in ROWS if kind == "event"]


@pytest.fixture(scope="module")
def loop(stack: Endpoints, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loop]:
    """A use case whose worker runs and has answered and learnt everything."""
    loop = Loop(stack, tmp_path_factory.mktemp("parcels"))
    try:
        asyncio.run(loop.publish(ROWS))
        loop.start()
        asyncio.run(loop.wait_for("examples", IDS))
        yield loop
    finally:
        loop.close()


async def tell(loop: Loop, verb: Verb, model: str | None = None) -> CommandResult:
    """Send a command and wait for what becomes of it."""
    wish = new_command(verb, who="eve@example.com", why="a test", model=model)
    return await send_command(wish, loop.settings, loop.names, timeout_s=60)


async def test_a_promotion_is_applied_in_every_partition_and_rolled_back(loop: Loop) -> None:
    """One id for all; the audit trail has it as one line with who and why."""
    done = await tell(loop, "promote", "brisk")
    assert done.summary == "applied in 2 of 2"
    back = await tell(loop, "rollback")
    assert sorted(back.applied) == [0, 1]
    changed = together(await changes(loop.settings, loop.names["lifecycle"]))
    acts = [c for c in changed if c["command_id"] == done.command.command_id]
    assert [(c["model"], c["to_state"], sorted(c["partitions"])) for c in acts] == [
        ("linear", "shadow", [0, 1]),
        ("brisk", "champion", [0, 1]),
    ]
    assert {(c["who"], c["why"]) for c in acts} == {("eve@example.com", "a test")}


async def test_the_audit_trail_has_commands_with_what_became_of_them(loop: Loop) -> None:
    """Who, why, applied in how many partitions and what that changed; definitions; filters."""
    done = await tell(loop, "promote", "brisk")
    refused = await tell(loop, "promote", "brisk")
    back = await tell(loop, "rollback")
    history = await asyncio.to_thread(loop.run, "history", str(loop.file), "--json")
    acts = {act["command_id"]: act for act in history if act["kind"] == "command"}
    act = acts[done.command.command_id]
    assert (act["what"], act["who"], act["why"]) == ("promote brisk", "eve@example.com", "a test")
    assert act["outcome"] == "applied in 2 of 2"
    assert act["changes"] == ["linear: champion → shadow", "brisk: shadow → champion"]
    assert acts[refused.command.command_id]["outcome"] == "applied in 0 of 2, refused in 2"
    assert [act["kind"] for act in history].count("definition") == 1
    assert history == sorted(history, key=lambda act: act["time"])
    chosen = await asyncio.to_thread(
        loop.run, "history", str(loop.file), "--json", "--kind", "command", "--limit", "1"
    )
    assert [act["command_id"] for act in chosen] == [back.command.command_id]


async def test_a_command_that_cannot_be_is_refused_with_the_reason(loop: Loop) -> None:
    """Each partition says why, and nothing has changed."""
    done = await tell(loop, "promote", "linear")
    assert done.applied == []
    assert set(done.refused) == {0, 1}
    assert "champion already" in done.refused[0]
    assert (await tell(loop, "freeze")).summary == "applied in 2 of 2"
    frozen = await tell(loop, "promote", "brisk")
    assert "unfreeze" in frozen.refused[1]
    assert (await tell(loop, "unfreeze")).summary == "applied in 2 of 2"


async def test_the_delays_of_all_partitions_are_shown_together(loop: Loop) -> None:
    """Parcels take 1 to 11 hours: the curve, its plateau and a horizon far below 48 hours."""
    result = loop.run("delays", str(loop.file), "--json")
    assert result[0]["segment"] is None
    assert result[0]["labels"] >= 190, "but for the 2 % that may be unreported"
    assert 0.97 < result[0]["plateau"] <= 1.0
    assert 4 * 3_600 < result[0]["quantiles_s"]["0.5"] < 8 * 3_600
    loop.run("delays", str(loop.file), "--segment", "nobody", code=5)


async def test_without_a_worker_a_command_waits_and_says_so(
    stack: Endpoints, tmp_path: Path
) -> None:
    """Nobody answers: after the time-out it is named who did not."""
    idle = Loop(stack, tmp_path)
    await idle.publish(ROWS[:1])
    wish = new_command("freeze", who="eve", why="a test")
    done = await send_command(wish, idle.settings, idle.names, timeout_s=0.5)
    assert (done.waiting, done.summary) == ([0, 1], "applied in 0 of 2, no answer from 2")


def test_promote_says_what_models_there_are(loop: Loop) -> None:
    """A name that is no model is refused before anything is sent: exit code 5."""
    result = loop.run("promote", str(loop.file), "best", "--why", "it is", code=5)
    assert "linear, brisk" in result
    done = loop.run("freeze", str(loop.file), "--why", "tests", "--who", "eve", "--json")
    assert (done["applied"], done["waiting"]) == ([0, 1], [])
    loop.run("unfreeze", str(loop.file), "--why", "tests", "--json")


async def test_the_registry_counts_what_each_model_has_learnt(loop: Loop) -> None:
    """As many examples as there are; state, definition, journal place and worker are known."""
    registry = await gather(loop.loaded, loop.settings, loop.names)
    assert {(e.model, e.partition) for e in registry.entries} == {
        (model, partition) for model in ("linear", "brisk") for partition in (0, 1)
    }
    for model in ("linear", "brisk"):
        assert sum(e.learnt for e in registry.of(model)) == len(IDS)
    entry = registry.of("linear")[0]
    assert (entry.state, entry.definition) == ("champion", loop.loaded.definition)
    assert entry.journal_step is not None
    assert entry.worker is not None
    assert "declared by definition" in entry.began_why


async def test_a_model_card_has_data_metrics_limits_and_lineage(loop: Loop) -> None:
    """As data and as Markdown, from the topics alone."""
    registry = await gather(loop.loaded, loop.settings, loop.names)
    card_text = card(registry, "linear")
    assert card_text["data"]["examples"] == len(IDS)
    assert card_text["metrics"]["scores"]["linear"]["n"] == len(IDS)
    assert card_text["lineage"]["definitions"][0]["definition"] == loop.loaded.definition
    assert orjson.dumps(card_text, default=str, option=orjson.OPT_NON_STR_KEYS)
    text = markdown(card_text)
    for heading in ("# linear of parcels", "## Data", "## Metrics", "## Limits", "## Lineage"):
        assert heading in text


async def test_a_tail_gives_what_passes_its_filters(loop: Loop) -> None:
    """Fields by their paths, from the beginning to what is the end."""
    tests = [filter_of("event_id=p7")]
    topic = loop.names["predictions"]
    actions = [
        row
        async for row in tail(topic, loop.settings, tests, beginning=True, follow=False, limit=None)
    ]
    assert [row["value"]["event_id"] for row in actions] == ["p7"]
    assert actions[0]["headers"]["ce_type"] == "riverrun.predictions"
    some = tail(topic, loop.settings, [], beginning=True, follow=True, limit=3)
    assert len([row async for row in some]) == 3


async def test_what_is_answered_meanwhile_is_no_difference(loop: Loop) -> None:
    """Verified while the worker goes on answering: what was there is the same."""
    later = parcels(260)[len(ROWS) :]
    publishing = asyncio.create_task(loop.publish([row for row in later if row[0] == "event"]))
    report = await Verifier(loop.settings, loop.names).every()
    await publishing
    assert (report.different, report.unproven, report.reasons) == (0, 0, [])
    assert report.checked >= len(IDS)


async def test_dead_letters_are_sent_again_and_not_for_ever(loop: Loop) -> None:
    """The original bytes, on the partition of their key, with an attempt header and a cap."""
    body = {"event_id": "heavy", "event_time": "2024-05-03T00:00:00Z", "depot": "north"}
    async with AIOKafkaProducer(**loop.settings.kafka_client()) as producer:
        await producer.send_and_wait(
            loop.names["events"], orjson.dumps(body), key=b"north", headers=[("trace", b"1")]
        )
    topic = loop.names["dead-letter"]
    for attempt in (1, 2):
        await until_letters(loop, "heavy", attempt)
        newest = (await about(loop, "heavy"))[-1]
        assert newest.attempt == attempt - 1
        done = await redrive([newest], loop.settings, loop.names, attempts_max=2)
        assert done.sent == [newest.position]
    await until_letters(loop, "heavy", 3)
    newest = (await about(loop, "heavy"))[-1]
    headers = dict(newest.headers)
    assert headers.pop(LETTER_HEADER) == done.sent[0].encode()
    assert headers == {"trace": b"1", ATTEMPT_HEADER: b"2"}
    assert newest.value == orjson.dumps(body)
    done = await redrive([newest], loop.settings, loop.names, attempts_max=2)
    assert (done.sent, list(done.left)) == ([], [newest.position])
    assert len([letter async for letter in letters(topic, loop.settings)]) >= 3


async def test_all_open_letters_are_sent_again_and_each_once(loop: Loop) -> None:
    """Two bad records stay two open letters, however often all are sent; who did is on record."""
    for name in ("redo-1", "redo-2"):
        body = {"event_id": name, "event_time": "2024-05-03T00:00:00Z", "depot": "north"}
        async with AIOKafkaProducer(**loop.settings.kafka_client()) as producer:
            await producer.send_and_wait(loop.names["events"], orjson.dumps(body), key=b"north")
        await until_letters(loop, name, 1)
    file, where = str(loop.file), ("--where", "value contains redo-")
    for round_ in (1, 2):
        done = loop.run(
            "dead-letters", "redrive", file, "--all", *where, "--json", "--why", "mended"
        )
        assert len(done["sent"]) == 2
        for name in ("redo-1", "redo-2"):
            await until_letters(loop, name, round_ + 1)
    listed = loop.run("dead-letters", "list", file, *where, "--json")
    assert listed["states"] == {"open": 2, "sent again": 4}
    places = [letter["position"] for letter in listed["letters"] if letter["state"] == "open"]
    loop.run("dead-letters", "dismiss", file, *places, "--why", "a test", "--who", "Ann")
    done = loop.run("dead-letters", "redrive", file, "--all", *where, "--json")
    assert done == {"sent": [], "left": {}}
    left = loop.run("dead-letters", "redrive", file, places[0], "--json", code=1)["left"]
    assert left == {places[0]: "it is dismissed: a test"}
    acts = [act for act in loop.run("history", file, "--json") if act["model"] == "dead letters"]
    assert [(act["who"], act["why"]) for act in acts][-1] == ("Ann", "a test")


async def about(loop: Loop, word: str) -> list[Any]:
    """Dead letters whose bytes hold a word."""
    topic = loop.names["dead-letter"]
    return [x async for x in letters(topic, loop.settings) if word.encode() in x.value]


async def until_letters(loop: Loop, word: str, count: int) -> None:
    """Wait until so many are there."""
    topic = loop.names["dead-letter"]
    lines = tail(topic, loop.settings, [], beginning=True, follow=True, limit=None)
    seen = 0
    async with asyncio.timeout(90):
        async for row in lines:
            seen += word.encode() in b64decode(row["value"]["value_base64"])
            if seen == count:
                break
    await lines.aclose()


async def test_a_use_case_is_replayed_on_another_number_of_partitions(
    loop: Loop, tmp_path: Path, stack: Endpoints
) -> None:
    """Every event and outcome is there once, on its key's partition, in the order of time; new
    workers answer and learn all of it.
    """
    target = Loop(stack, tmp_path, SOURCE)
    copied = await repartition(loop.loaded.use_case, loop.settings, target.settings, 3)
    assert copied.outcomes == len(IDS)
    assert copied.events == len(await loop.records("events"))
    events = await target.records("events")
    assert {r.partition for r in events} <= {0, 1, 2}
    for key in {r.key for r in events}:
        before = [r.value for r in await loop.records("events") if r.key == key]
        assert [r.value for r in events if r.key == key] == before
    with pytest.raises(Incompatible, match="hold records already"):
        await repartition(loop.loaded.use_case, loop.settings, target.settings, 3)
    try:
        target.start()
        await target.wait_for("examples", IDS)
        event_ids = [value["event_id"] for value in await target.values("predictions")]
        assert set(event_ids) >= set(IDS)
        assert len(event_ids) == len(set(event_ids))
    finally:
        target.close()


async def test_a_quarantined_outcome_is_listed_and_released(loop: Loop) -> None:
    """65,535 hours are held and a dead letter; released, they are an example; twice is a no."""
    event = {"event_id": "odd", "event_time": "2024-05-02T12:00:00Z"}
    event |= {"depot": "north", "weight": 1.0, "miles": 10}
    outcome = {"event_id": "odd", "outcome_time": "2024-05-02T13:00:00Z", "hours": 65_535}
    await loop.publish([("event", event), ("outcome", outcome)])
    await loop.wait_for("predictions", ["odd"])
    case = str(loop.file)
    await until_letters(loop, "65535", 1)
    letters = loop.run("dead-letters", "list", case, "--class", "quarantined", "--json")["letters"]
    assert "riverrun release parcels odd" in str(letters)
    told = loop.run("release", case, "odd", "--why", "it was lost in a wall", "--json")
    assert sorted(told["applied"]) == [0, 1]
    await loop.wait_for("examples", ["odd"])
    loop.run("release", case, "odd", "--why", "again", code=1)
