"""A changed use case under a running state: refused, explained, and begun deliberately."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from models.replay.backtest import run
from schemas.records import JournalEntry
from streams.embedded import Endpoints
from tests.integration.faults.test_snapshots import ROWS, _flush, ids, keyed, live
from tests.integration.loop.test_several_use_cases import VISITS, visits
from tests.support.loop import SOURCE, Loop

pytestmark = pytest.mark.integration

ANOTHER = SOURCE.replace("optim.SGD(0.1)", "optim.SGD(0.2)").replace(
    '        **Parcel.fields("weight", "miles"),',
    '        **Parcel.fields("weight", "miles"),\n        "heavy": lambda e: e.weight > 10,',
)
FASTER = SOURCE.replace("optim.SGD(0.1)", "optim.SGD(0.2)")


@pytest.fixture
def loop(stack: Endpoints, tmp_path: Path) -> Iterator[Loop]:
    """A use case that ran, and stopped."""
    loop = Loop(stack, tmp_path)
    try:
        yield loop
    finally:
        loop.close()


async def ran(loop: Loop) -> str:
    """Run it for a while; gives its definition."""
    loop.start()
    await live(loop, ROWS[:200])
    loop.stop()
    return loop.loaded.definition


async def test_a_changed_file_is_refused_with_the_ways_on(loop: Loop) -> None:
    """Exit code 4, what changed, what can be done; and the state is as it was."""
    before = await ran(loop)
    loop.file.write_text(FASTER)
    loop.start()
    assert loop.workers[-1].wait(90) == 4
    log = " ".join(loop.log().split())
    assert f"runs under definition {before}" in log
    assert "- return preprocessing.StandardScaler() | linear_model" in log
    assert "SGD(0.2)" in log
    for how in ("keep", "warm", "clean"):
        assert f"--how {how}" in log
    loop.file.write_text(SOURCE)
    loop.start()
    await live(loop, ROWS[200:260])


async def test_a_changed_lookup_file_is_another_definition(
    stack: Endpoints, tmp_path: Path
) -> None:
    """Refused by its name, begun deliberately; what was predicted before is derived again with
    the content of then, although only the new one is at hand.
    """
    rates = tmp_path / "rates.txt"
    rates.write_text("10")
    reads = (
        "from pathlib import Path\n\n"
        "RATE = float(Path(__file__).with_name('rates.txt').read_text())\n"
    )
    source = ANOTHER.replace("\nfrom river", f"\n{reads}\nfrom river", 1)
    loop = Loop(stack, tmp_path, source.replace("e.weight > 10", "e.weight * RATE"))
    try:
        await ran(loop)
        rates.write_text("20")
        loop.start()
        assert loop.workers[-1].wait(90) == 4
        assert "rates.txt, which it reads, is another" in " ".join(loop.log().split())
        loop.run("redefine", str(loop.file), "--how", "keep", "--why", "a test", "--json")
        loop.start()
        await loop.publish(keyed(ROWS[200:230]))
        await loop.wait_for("predictions", ids(ROWS[200:230], "event"))
        loop.stop()
        report = loop.run("verify", str(loop.file), "--all", "--json")
        assert (report["checked"], report["different"]) == (len(ids(ROWS[:230], "event")), 0)
    finally:
        loop.close()


@pytest.mark.parametrize(
    ("source", "how"),
    [
        pytest.param(FASTER, "keep", id="model-keep"),
        pytest.param(ANOTHER, "warm", id="feature-warm"),
        pytest.param(ANOTHER, "clean", id="feature-clean"),
        pytest.param(FASTER, "warm", id="model-warm", marks=pytest.mark.soak),
        pytest.param(FASTER, "clean", id="model-clean", marks=pytest.mark.soak),
        pytest.param(ANOTHER, "keep", id="feature-keep", marks=pytest.mark.soak),
    ],
)
async def test_a_new_definition_is_begun_and_all_is_verified(
    loop: Loop, how: str, source: str
) -> None:
    """The choice is in the journal; predictions before and after it are derived again, byte for
    byte, without a snapshot; Redis flushed, a worker comes through it by the log.
    """
    before = await ran(loop)
    loop.file.write_text(source)
    done = loop.run(
        "redefine", str(loop.file), "--how", how, "--why", "a test", "--who", "ann", "--json"
    )
    models = {"linear"} if how != "clean" and source == FASTER else set()
    assert [set(row["kept_models"]) for row in done["partitions"]] == [models, models]
    entries = [JournalEntry.model_validate_json(r.value) for r in await loop.records("journal")]
    begun = [entry for entry in entries if entry.redefined is not None]
    assert len(begun) == 2
    for entry in begun:
        assert entry.redefined is not None
        assert (entry.redefined.before, entry.redefined.how) == (before, how)
        assert (entry.redefined.who, entry.redefined.why) == ("ann", "a test")
        assert entry.runs == []
        assert entry.definition == done["definition"]
    loop.start()
    unanswered = set(ids(ROWS[:200], "event")) - set(ids(ROWS[:200], "outcome"))
    await loop.publish(keyed(ROWS[200:300]))
    await loop.wait_for("predictions", ids(ROWS[200:300], "event"))
    learnt = set(ids(ROWS[200:300], "outcome"))
    await loop.wait_for("examples", learnt - unanswered if how == "clean" else learnt)
    loop.stop()
    _flush(loop)
    loop.start()
    await loop.publish(keyed(ROWS[300:330]))
    await loop.wait_for("predictions", ids(ROWS[300:330], "event"))
    loop.stop()
    report = loop.run("verify", str(loop.file), "--all", "--json")
    assert (report["checked"], report["different"]) == (len(ids(ROWS[:330], "event")), 0)
    told = [v for v in await loop.values("lifecycle") if v["who"] == "ann"]
    assert {row["model"] for row in told} == {"linear", "brisk"}
    (act,) = loop.run("history", str(loop.file), "--kind", "redefinition", "--json")
    assert act["what"] == f"definition {before} → {done['definition']} ({how})"
    assert (act["who"], act["why"], act["outcome"]) == ("ann", "a test", "begun in 2 of 2")
    again = loop.run("redefine", str(loop.file), "--how", how, "--why", "again", "--json")
    assert [row["entry"] for row in again["partitions"]] == [None, None]


async def test_workers_that_run_are_not_redefined_under(loop: Loop) -> None:
    """Exit code 4: stop them first. A dry run says beside them what would be kept, writes nothing
    and needs no reason, which the act itself does.
    """
    loop.start()
    await live(loop, ROWS[:60])
    loop.file.write_text(FASTER)
    dry = loop.run("redefine", str(loop.file), "--how", "keep", "--dry-run", "--json")
    assert dry["dry_run"]
    assert [row["kept_models"] for row in dry["partitions"]] == [["linear"], ["linear"]]
    entries = [JournalEntry.model_validate_json(r.value) for r in await loop.records("journal")]
    assert not [entry for entry in entries if entry.redefined is not None]
    assert "--why" in loop.run("redefine", str(loop.file), "--how", "keep", code=2)
    result = loop.run("redefine", str(loop.file), "--how", "keep", "--why", "a test", code=4)
    assert "Stop them" in result


@pytest.mark.parametrize("learning", ["partition", "shared"])
async def test_a_folded_label_goes_on_through_a_redefine(
    stack: Endpoints, tmp_path: Path, learning: str
) -> None:
    """With `--how keep` what was collected, is due or may be corrected stays: examples are those of
    a backtest that was never redefined, and the proof holds.
    """
    declared = f'learning="{learning}",\n    partitions=1'
    loop = Loop(stack, tmp_path, VISITS.replace("partitions=1", declared))
    rows = [(kind, {**fields, "depot": "north"}) for kind, fields in visits(60)]
    try:
        for part in (rows[: len(rows) // 2], rows[len(rows) // 2 :]):
            loop.start()
            await loop.publish(part)
            newest = [fields["event_id"] for kind, fields in part if kind == "event"]
            await loop.wait_for("predictions", newest)
            loop.stop()
            if part[0] is rows[0]:
                loop.file.write_text(loop.file.read_text() + "\n# another definition\n")
                loop.run("redefine", str(loop.file), "--how", "keep", "--why", "a test", "--json")
        expected: list[Any] = []
        case = loop.loaded.use_case
        run(case, rows, partitions=1, definition="d", outputs=expected.append)
        wanted = ("event_id", "label", "revision", "outcomes", "features")
        if learning == "partition":  # else it depends on when a version has come
            wanted += ("prediction", "kpi")
        offline = [orjson.loads(out.value) for out in expected if out.kind == "examples"]
        live = await loop.values("examples")
        assert [[row[name] for name in wanted] for row in live] == [
            [row[name] for name in wanted] for row in offline
        ]
        assert any(row["revision"] for row in live)
        checked = loop.run("verify", str(loop.file), "--all", "--json")
        assert (checked["different"], checked["proved"]) == (0, True)
    finally:
        loop.close()
