"""An exported folder predicts on its own, to the floats of the state that it was made of."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest

from models.inputs.decoder import PlainRecord
from models.replay.backtest import run
from models.replay.offline_predictor import OfflinePredictor
from models.task.partition_task import PartitionTask
from schemas.errors import ConfigError, Incompatible
from schemas.partitioner import partition_of
from streams.config.use_case_loader import LoadedUseCase, load
from streams.offline.model_export import Export
from tests.support.loop import SOURCE, parcels

pytestmark = pytest.mark.slow

ROWS = parcels(300)
ASKED = [fields for kind, fields in ROWS if kind == "event"][-40:]
BLOCKED = """
import runpy, sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"faust", "mode", "aiokafka", "kafka", "redis", "fsspec",
                                      "typer", "rich", "pydantic_settings", "prometheus_client"}:
            raise ImportError(name + " is blocked")
sys.meta_path.insert(0, Blocker())
folder = sys.argv[1]
sys.argv = [folder + "/predict.py", *sys.argv[2:]]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
finally:
    if "models" in sys.modules:
        assert sys.modules["models"].__file__.startswith(folder)
"""


@pytest.fixture
def loaded(request: pytest.FixtureRequest, tmp_path: Path) -> LoadedUseCase:
    """A use case's file: each partition has models of its own, or all have the same."""
    file = tmp_path / "case" / "parcels.py"
    file.parent.mkdir()
    learning = f'learning="{getattr(request, "param", "partition")}"'
    file.write_text(SOURCE.replace('learning="partition"', learning))
    return load(str(file))


@pytest.fixture
def tasks(loaded: LoadedUseCase) -> dict[int, PartitionTask]:
    """Both partitions, after all rows but the last hundred."""
    done = run(loaded.use_case, ROWS[:-100], partitions=2, definition=loaded.definition)
    return done.tasks


def exported(
    loaded: LoadedUseCase, tasks: dict[int, PartitionTask], to: Path, model: Any = None
) -> str:
    """A folder of these states; its manifest's digest."""
    export = Export(loaded, model, 2)
    for task in tasks.values():
        export.take(task)
    return export.finish(to, "# a card\n")


def predict(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run its predict.py where servers' packages cannot be imported."""
    return subprocess.run(
        [sys.executable, "-c", BLOCKED, str(folder), *arguments],
        cwd=folder.parent,
        env={"PATH": "/usr/bin:/bin", "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize("loaded", ["partition", "shared"], indirect=True)
@pytest.mark.parametrize("model", [None, "brisk"])
def test_it_says_what_the_state_would_say_in_any_order(
    loaded: LoadedUseCase, tasks: dict[int, PartitionTask], tmp_path: Path, model: str | None
) -> None:
    """With no Kafka, Redis or Faust to import; events may come backwards in time."""
    digest = exported(loaded, tasks, tmp_path / "edge", model)
    events = tmp_path / "events.jsonl"
    events.write_bytes(b"\n".join(map(orjson.dumps, reversed(ASKED))))
    done = predict(tmp_path / "edge", str(events), "--expect", digest)
    assert done.returncode == 0, done.stderr
    rows = {row["event_id"]: row for row in map(orjson.loads, done.stdout.splitlines())}
    assert len(rows) == len(ASKED)
    for fields in ASKED:
        key = str(fields["depot"]).encode()
        number = partition_of(key, 2)
        record = PlainRecord("file", number, 0, 10**13, key, orjson.dumps(fields))
        due = orjson.loads(orjson.dumps(OfflinePredictor(tasks[number], model).say(record)))
        expected = rows[str(fields["event_id"])]
        assert {n: expected[n] for n in due if n != "event_time"} == {
            n: value for n, value in due.items() if n != "event_time"
        }
    wrong = predict(tmp_path / "edge", str(events), "--expect", "0" * 64)
    assert (wrong.returncode, "manifest.json" in wrong.stderr) == (1, True)


def test_a_file_that_was_changed_is_refused(
    loaded: LoadedUseCase, tasks: dict[int, PartitionTask], tmp_path: Path
) -> None:
    """State or code: by its SHA-256, before anything of it is run; and bad events have words."""
    folder = tmp_path / "edge"
    exported(loaded, tasks, folder)
    bad = tmp_path / "bad.jsonl"
    bad.write_bytes(orjson.dumps({**ASKED[0], "weight": "heavy"}))
    predictions = predict(folder, str(bad))
    assert predictions.returncode == 1
    assert "weight" in orjson.loads(predictions.stdout)["error"]
    for name in ("state/0.pickle", "lib/usecases/parcels.py"):
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(whole + b"\n# changed")
        refused = predict(folder, "--check")
        (folder / name).write_bytes(whole)
        assert refused.returncode == 1
        assert f"{name} is not the file that was exported" in refused.stderr


def test_what_does_not_fit_is_not_exported(
    loaded: LoadedUseCase, tasks: dict[int, PartitionTask], tmp_path: Path
) -> None:
    """A folder that is there, or a state of another definition: nothing is written."""
    (tmp_path / "there").mkdir()
    with pytest.raises(ConfigError, match="there already"):
        exported(loaded, tasks, tmp_path / "there")
    tasks[0].definition = "another"
    with pytest.raises(Incompatible, match="ran under definition another"):
        exported(loaded, tasks, tmp_path / "edge")
    assert not (tmp_path / "edge").exists()


def test_no_event_is_in_an_export(loaded: LoadedUseCase, tasks: dict[int, PartitionTask]) -> None:
    """Neither those that wait nor those that were learnt."""
    export = Export(loaded, None, 2)
    for task in tasks.values():
        assert task.ledger.entries
        export.take(task)
    for kind, fields in ROWS:
        mark = str(fields["event_id"]).encode()
        if kind == "event" and len(mark) == 4:
            assert all(mark not in state for state in export.states.values())
