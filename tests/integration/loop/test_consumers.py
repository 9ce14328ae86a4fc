"""What consumers read on the real servers: predictions, features by key, captured Parquet."""

from __future__ import annotations

import asyncio
import random
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import orjson
import pytest
import redis

from models.spec.personal_data import NOTHING
from riverrun.client import FeatureReader, read
from schemas.feature_keys import entity_key, place_key
from streams.config.naming import group_of
from streams.embedded import Endpoints
from streams.offline.parquet_capture import Capture, Folder
from streams.replay import derivation
from streams.replay.past_states import Checkpoints
from streams.telemetry import partition_table
from streams.worker.feature_store_writer import WRITE
from tests.support.commands import Command
from tests.support.loop import SOURCE, Loop, parcels

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[3]
SERVING = SOURCE.replace("    warmup=20,\n", "    warmup=20,\n    serve_features=True,\n")
ROWS = parcels(400)
IDS = [str(fields["event_id"]) for kind, fields in ROWS if kind == "event"]


@pytest.fixture(scope="module")
def loop(stack: Endpoints, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loop]:
    """A use case that serves its features; all is answered, and its worker runs on."""
    loop = Loop(stack, tmp_path_factory.mktemp("parcels"), SERVING)
    try:
        asyncio.run(loop.publish(ROWS))
        loop.start()
        asyncio.run(loop.wait_for("examples", IDS))
        yield loop
    finally:
        loop.close()


@pytest.fixture
def client(stack: Endpoints) -> Iterator[Any]:
    """The test's own connection to Redis."""
    with redis.Redis.from_url(stack.redis_url) as client:
        yield client


def newest(loop: Loop) -> dict[str, dict[str, Any]]:
    """By key: the features record of latest event time, as the topic has it."""
    rows: dict[str, Any] = {}
    for record in asyncio.run(loop.records("features")):
        body = orjson.loads(record.value)
        held = rows.get(record.key.decode())
        if held is None or (held["event_time"], held["step"]) < (body["event_time"], body["step"]):
            rows[record.key.decode()] = body
    return rows


def stored(stack: Endpoints, loop: Loop) -> dict[str, Any]:
    """By key: what the library reads."""
    with FeatureReader(stack.redis_url, "parcels", prefix=loop.prefix) as reader:
        keys = list(newest(loop))
        return {key: one and one.features for key, one in zip(keys, reader.many(keys), strict=True)}


def until(true: Callable[[], Any], within_s: float = 90.0, every_s: float = 0.1) -> None:
    """Wait for it."""
    began = monotonic()
    while not true():
        assert monotonic() - began < within_s
        sleep(every_s)


def figures(loop: Loop) -> dict[str, Any]:
    """What the worker says of its feature store."""
    told = asyncio.run(partition_table.workers(group_of(loop.loaded, loop.settings), loop.settings))
    return told[0]["features"] if told else {}  # its status was flushed, too


def test_the_store_has_the_newest_features_and_has_them_again_after_a_flush(
    stack: Endpoints, loop: Loop
) -> None:
    """Of each key, those of the last event; lost altogether, they come back by themselves."""
    due = {key: body["features"] for key, body in newest(loop).items()}
    assert len(due) == 5
    until(lambda: stored(stack, loop) == due)
    rebuilt = figures(loop).get("rebuilds", 0)
    loop.lose_redis()
    until(lambda: stored(stack, loop) == due)
    until(lambda: figures(loop).get("rebuilds", 0) > rebuilt)
    assert figures(loop)["written"] >= 10
    assert figures(loop)["skewed"] == 0


def test_an_older_vector_never_replaces_a_newer_one(loop: Loop, client: Any) -> None:
    """Whoever writes it, in whatever order; and nothing is written from another place."""
    write = client.register_script(WRITE)
    row_key, key = place_key("monotone", loop.prefix), entity_key("monotone", "a", loop.prefix)
    client.hset(row_key, "0", 0)
    order = random.Random(3)
    vectors = [(time, step) for time in range(20) for step in range(3)]
    order.shuffle(vectors)
    for n, (time, step) in enumerate(vectors):
        done = write(
            [row_key, key], ["0", str(n), str(n + 1), str(time), str(step), f"{time}/{step}"]
        )
        assert done >= 0
        assert client.hget(key, "v").decode() == "{}/{}".format(*max(vectors[: n + 1]))
    assert write([row_key, key], ["0", "7", "8", "99", "0", "from elsewhere"]) == -1
    assert client.hget(key, "v") == b"19/2"


def test_features_are_got_and_checked_by_command(
    loop: Loop, client: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Values with their place; computed again they are the same, and a falsified one is found."""
    for name, value in loop.environment.items():
        monkeypatch.setenv(name, value)
    riverrun, file = Command(monkeypatch, capsys, loop.folder), str(loop.file)
    until(lambda: riverrun("features", "get", file, "north").code == 0)
    result = riverrun("features", "get", file, "north", "nowhere", "--json")
    assert result.code == 1
    assert result.json["nowhere"] is None
    assert result.json["north"]["features"] == newest(loop)["north"]["features"]
    assert "miles" in riverrun("features", "get", file, "north").out
    good = riverrun("features", "check", file, "--json")
    assert (good.code, good.json["checked"], good.json["different"]) == (0, 5, {})
    key = entity_key("parcels", "north", loop.prefix)
    honest = client.hget(key, "v")
    body = orjson.loads(honest)
    body["features"]["lately"] += 1e-9
    client.hset(key, "v", orjson.dumps(body))
    bad = riverrun("features", "check", file, "--json")
    client.hset(key, "v", honest)
    assert (bad.code, list(bad.json["different"])) == (1, ["north"])


def test_a_consumer_that_is_killed_has_each_prediction_once(
    stack: Endpoints, loop: Loop, tmp_path: Path
) -> None:
    """The example of docs/how-to/CONSUMERS.md, killed amid its work again and again."""
    database = tmp_path / "said.db"
    command = [sys.executable, "-P", str(ROOT / "docs/examples/read_predictions.py")]
    command += [stack.bootstrap_servers, "parcels", str(database), "--prefix", loop.prefix]
    slow_down(database)
    amid = 0
    for _ in range(8):
        before = len(rows(database))
        consumer = subprocess.Popen([*command, "--batch", "1"], env=loop.environment)
        until(partial(has_more, database, before), every_s=0.002)
        consumer.send_signal(signal.SIGKILL)
        assert consumer.wait() == -signal.SIGKILL
        amid += before < len(rows(database)) < len(IDS)
    assert amid  # else this would hold nothing
    subprocess.run([*command, "--to-end"], env=loop.environment, check=True, timeout=180)
    due = {value["event_id"]: value["value"] for value in asyncio.run(loop.values("predictions"))}
    assert Counter(name for name, _ in rows(database)) == dict.fromkeys(due, 1)
    assert dict(rows(database)) == due


def slow_down(database: Path) -> None:
    """Each row takes the consumer milliseconds, so that a kill meets it amid its work."""
    with sqlite3.connect(database) as connection:
        connection.executescript(
            "CREATE TABLE said (event_id TEXT PRIMARY KEY, value REAL);"
            "CREATE VIEW work AS WITH RECURSIVE n (i) AS"
            " (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50000) SELECT i FROM n;"
            "CREATE TRIGGER slow AFTER INSERT ON said BEGIN SELECT sum(i) FROM work; END;"
        )


def has_more(database: Path, before: int) -> bool:
    """It went on, or has all."""
    return len(rows(database)) > before or before == len(IDS)


def rows(database: Path) -> list[tuple[str, float]]:
    """What the consumer has kept."""
    try:
        with sqlite3.connect(database) as connection:
            return connection.execute("SELECT event_id, value FROM said").fetchall()
    except sqlite3.OperationalError:
        return []


def test_a_position_is_good_under_other_offsets(stack: Endpoints, loop: Loop) -> None:
    """The journal step tells what was read, also where offsets start over."""
    servers = stack.bootstrap_servers
    first = next(read(servers, "parcels", prefix=loop.prefix, records_max=50))
    moved = {n: [0, step] for n, (_, step) in first.position.items()}
    rest = list(read(servers, "parcels", prefix=loop.prefix, position=moved, to_end=True))
    seen = [p.event_id for batch in (first, *rest) for p in batch.records]
    assert sorted(seen) == sorted(IDS)


# Captured Parquet.


def test_a_capture_that_is_killed_has_each_record_once(loop: Loop, tmp_path: Path) -> None:
    """Killed amid its work again and again: all committed records are in the files, each once."""
    import pandas
    import pyarrow.dataset

    to, command = tmp_path / "captured", [sys.executable, "-P", "-m", "streams.cli", "capture"]
    command += [str(loop.file), "examples", "predictions", "--to", str(to), "--rows", "4"]
    amid = 0
    for _ in range(3):
        before = len(files(to))
        capture = subprocess.Popen(command, env=loop.environment, stderr=subprocess.DEVNULL)
        until(partial(wrote_or_ended, to, before, capture), every_s=0.001)
        capture.send_signal(signal.SIGKILL)
        amid += capture.wait() == -signal.SIGKILL
    assert amid  # else this would hold nothing
    for left in to.rglob("*.unfinished"):
        assert left.name.startswith(".")  # readers pass over it
    folder, kinds = Folder(str(to)), ("examples", "predictions")
    work = Capture(loop.loaded.use_case, loop.settings, folder, NOTHING, rows_max=4)
    done = 0
    for kind in kinds:
        done += asyncio.run(work.run(kind, loop.names[kind])).rows
        assert asyncio.run(work.run(kind, loop.names[kind])).rows == 0
    assert done < 2 * len(IDS)  # the killed ones had done some of it
    for kind in kinds:
        table = pyarrow.dataset.dataset(to / loop.names[kind], partitioning="hive").to_table()
        rows = table.to_pylist()
        due = asyncio.run(loop.records(kind))
        places = [(row["kafka_partition"], row["kafka_offset"]) for row in rows]
        assert sorted(places) == sorted((record.partition, record.offset) for record in due)
        assert {row["event_id"] for row in rows} == set(IDS)
    examples = {v["event_id"]: v for v in asyncio.run(loop.values("examples"))}
    frame = pandas.read_parquet(to / loop.names["examples"])
    for row in frame.itertuples():
        assert row.label == examples[row.event_id]["label"]
    features = [name for name in frame if name.startswith("features.")]
    assert features == ["features.weight", "features.miles", "features.lately"]
    assert not frame[features].isna().any().any()


def wrote_or_ended(folder: Path, before: int, process: subprocess.Popen[bytes]) -> bool:
    """A capture has written another file, or has ended."""
    return len(files(folder)) > before or process.poll() is not None


# Scoring and exporting.

EVENTS = {str(fields["event_id"]): fields for kind, fields in ROWS if kind == "event"}
SAME = ("value", "interval", "segment", "served_by", "model", "shadows")


@pytest.fixture
def riverrun(
    loop: Loop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """Commands on this use case, in this process."""
    for name, value in loop.environment.items():
        monkeypatch.setenv(name, value)
    return Command(monkeypatch, capsys, loop.folder)


def test_a_scored_file_has_the_floats_of_the_stream(loop: Loop, riverrun: Command) -> None:
    """Each event by the state that it met then; and all of them by today's, in any format."""
    import pandas

    predictions = asyncio.run(loop.values("predictions"))
    file = str(loop.file)
    for published in random.Random(2).sample(predictions[60:], 4):
        source = loop.folder / "one.jsonl"
        source.write_bytes(orjson.dumps(EVENTS[published["event_id"]]))
        position = f"{published['partition']}/{published['step'] - 1}"
        row = riverrun("score", file, str(source), "--as-of", position).json
        assert {n: row[n] for n in SAME} == {n: published[n] for n in SAME}
    source = loop.folder / "all.jsonl"
    source.write_bytes(b"\n".join(map(orjson.dumps, EVENTS.values())))
    for name in ("scored.parquet", "scored.csv", "scored.jsonl"):
        assert riverrun("score", file, str(source), "--to", str(loop.folder / name)).code == 0
    frame = pandas.read_parquet(loop.folder / "scored.parquet")
    assert list(frame["event_id"]) == list(EVENTS)
    assert list(
        pandas.read_csv(loop.folder / "scored.csv", float_precision="round_trip")["value"]
    ) == list(frame["value"])
    captured = loop.folder / "events.parquet"
    pandas.DataFrame([{**e, "kafka_offset": 1} for e in EVENTS.values()]).to_parquet(captured)
    again = riverrun("score", file, str(captured), "--model", "linear")
    assert [orjson.loads(line)["value"] for line in again.out.splitlines()] == list(frame["value"])
    source.write_bytes(orjson.dumps(EVENTS["p1"] | {"weight": "heavy"}))
    refused = riverrun("score", file, str(source))
    assert (refused.code, refused.json["event_id"]) == (1, "p1")
    assert "weight" in refused.json["error"]
    assert riverrun("score", file, str(source), "--as-of", "yesterday").code == 5


def test_now_is_never_older_than_the_snapshot(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker may write a snapshot after a command has looked at the journal: that state is the
    newest, and the log is not folded from its beginning to an older one.
    """

    def folded(*_: Any, **__: Any) -> Any:
        raise AssertionError("the log was folded")

    monkeypatch.setattr(derivation, "fold", folded)
    loaded, settings, names = loop.loaded, loop.settings, loop.names
    now = Checkpoints(loaded, settings, names, 2, newest=True)
    past = Checkpoints(loaded, settings, names, 2)
    steps: list[int] = []
    deadline = monotonic() + 180
    while not steps and monotonic() < deadline:  # until the worker has written a snapshot
        with suppress(AssertionError):
            asyncio.run(now.visit(0, 1, lambda task: steps.append(task.step)))
    assert steps[0] > 1
    with pytest.raises(AssertionError, match="folded"):
        asyncio.run(past.visit(0, 1, lambda task: None))


def test_an_exported_model_says_what_score_says(
    loop: Loop, riverrun: Command, tmp_path: Path
) -> None:
    """Exported and scored by the newest state: the same; there is a model card, too."""
    file, folder = str(loop.file), tmp_path / "edge" / "parcels"
    export = riverrun("export", file, "--to", str(folder), "--json").json
    assert riverrun("export", file, "--to", str(folder)).code == 5
    assert "# linear of parcels" in (folder / "card.md").read_text()
    events = tmp_path / "events.jsonl"
    events.write_bytes(b"\n".join(map(orjson.dumps, list(EVENTS.values())[-40:])))
    command = [sys.executable, str(folder / "predict.py"), "--expect", export["manifest_sha256"]]
    done = subprocess.run(
        [*command, str(events)], env=loop.environment, capture_output=True, text=True, check=True
    )
    rows = [orjson.loads(line) for line in done.stdout.splitlines()]
    due = [orjson.loads(line) for line in riverrun("score", file, str(events)).out.splitlines()]
    assert len(rows) == 40
    assert [{n: row[n] for n in SAME} for row in rows] == [{n: row[n] for n in SAME} for row in due]


def files(folder: Path) -> list[Path]:
    """Whole files."""
    return list(folder.rglob("*.parquet"))
