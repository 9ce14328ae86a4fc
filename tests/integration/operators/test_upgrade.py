"""Another riverrun under a running state: refused, explained, gone on with; what is provable."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.embedded import Endpoints
from tests.integration.faults.test_snapshots import ROWS, ids, live
from tests.support.loop import Loop

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[3]
ONCE = "                model.learn_one(x, y)\n"
BEFORE, AFTER = ROWS[:200], ROWS[200:300]


def next_version(folder: Path) -> Path:
    """A copy of this tree whose core teaches every example twice."""
    for package in ("schemas", "models", "riverrun", "streams", "usecases"):
        shutil.copytree(ROOT / package, folder / package)
    slot = folder / "models" / "serving" / "model_slot.py"
    source = slot.read_text()
    assert source.count(ONCE) == 1
    slot.write_text(source.replace(ONCE, 2 * ONCE))
    return folder


@pytest.fixture
def loop(stack: Endpoints, tmp_path: Path) -> Iterator[Loop]:
    """Under this version first."""
    loop = Loop(stack, tmp_path)
    loop.environment["RIVERRUN_ARCHIVE"] = str(tmp_path / "archive")
    yield loop
    loop.close()


async def test_an_upgrade_is_a_deliberate_act_and_nothing_is_called_different(
    loop: Loop, tmp_path: Path
) -> None:
    """A worker of another core refuses (4) and says what differs; after `redefine` it goes on. What
    ran on the other core cannot be proved here (6), by either of them; nothing is "different". The
    part that ran here is proved from the state that the act kept.
    """
    old, new = ids(BEFORE, "event"), ids(AFTER, "event")
    loop.start()
    await live(loop, BEFORE)
    loop.stop()
    assert loop.run("verify", str(loop.file), "--all", "--json")["checked"] == len(old)
    loop.environment["PYTHONPATH"] = str(next_version(tmp_path / "next"))
    loop.start()
    assert loop.workers[-1].wait(60) == 4
    log = " ".join(loop.log().split())
    assert "It ran on python" in log
    assert "parcels.py itself is the same." in log
    assert "riverrun redefine" in log
    loop.run("redefine", str(loop.file), "--how", "keep", "--why", "an upgrade", "--json")
    loop.start()
    await live(loop, AFTER)
    loop.stop()
    report = loop.run("verify", str(loop.file), "--all", "--json", code=6)
    assert report["different"] == 0
    assert report["checked"] + report["unproven"] >= len(old) + len(new)
    assert any("riverrun core" in reason for reason in report["reasons"])
    for event_id in (new[0], new[-1]):
        report = loop.run("verify", str(loop.file), event_id, "--json")
        assert (report["checked"], report["different"]) == (1, 0)
    report = loop.run("verify", str(loop.file), old[-1], "--json", code=6)
    assert (report["different"], report["unproven"]) == (0, 1)
    del loop.environment["PYTHONPATH"]
    report = loop.run("verify", str(loop.file), new[-1], "--json", code=6)
    assert (report["different"], report["unproven"]) == (0, 1)
    assert loop.run("verify", str(loop.file), old[-1], "--json")["checked"] == 1
