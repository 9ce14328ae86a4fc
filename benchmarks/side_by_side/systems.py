"""The systems that are measured: what each promises, what it writes, how it is started."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.side_by_side.environments import BENCHMARKS, PEERS
from benchmarks.side_by_side.records import BOTH, EVENTS, OUTCOMES, PARTITIONS

ONE, THREE = "predictions", "features, predictions, examples"
DEFAULT = f"{THREE}, metrics, journal"
ONCE, LEAST, NONE = "exactly once", "at least once, no state recovery", "none"


@dataclass(frozen=True)
class Where:
    """What a run is given: servers, names of its own, the riverrun home."""

    servers: str
    redis_url: str
    name: str
    home: Path

    @property
    def output(self) -> str:
        """The topic of the predictions."""
        return f"{self.name}.predictions"


Command = tuple[list[str], dict[str, str]]


@dataclass(frozen=True)
class System:
    """One row. `environment` names the peer's; None is riverrun's own."""

    name: str
    guarantee: str
    writes: str
    environment: str | None
    command: Callable[[Path, Where], Command]
    models: int = 1
    events_share: float = 1.0

    @property
    def outputs(self) -> list[str]:
        """The suffixes of the topics that a peer writes to."""
        return ["predictions"] if self.writes == ONE else ["features", "predictions", "examples"]


def _loop(outputs: int) -> Callable[[Path, Where], Command]:
    def command(python: Path, at: Where) -> Command:
        arguments = [at.servers, BOTH, at.name, f"{at.name}.", str(outputs)]
        return [str(python), str(PEERS / "aiokafka_loop.py"), *arguments], {}

    return command


def _quix(guarantee: str) -> Callable[[Path, Where], Command]:
    def command(python: Path, at: Where) -> Command:
        arguments = [at.servers, BOTH, at.name, at.output, guarantee]
        return [str(python), str(PEERS / "quix_app.py"), *arguments], {}

    return command


def _environment(at: Where) -> dict[str, str]:
    return {
        "BENCH_BROKERS": at.servers,
        "BENCH_TOPIC": BOTH,
        "BENCH_OUTPUT": at.output,
        "BENCH_GROUP": at.name,
        "BENCH_PARTITIONS": str(PARTITIONS),
        "PYTHONPATH": str(PEERS),
    }


def _bytewax(python: Path, at: Where) -> Command:
    flow = f"{PEERS / 'bytewax_flow.py'}:flow"
    return [str(python), "-m", "bytewax.run", flow], _environment(at)


def _faust(python: Path, at: Where) -> Command:
    app = [str(python), str(PEERS / "faust_app.py")]
    data = ["--datadir", str(at.home / at.name)]
    return [*app, *data, "worker", "-l", "error", "--without-web"], _environment(at)


def riverrun(
    name: str, *options: str, processes: int = 1, models: int = 1, writes: str = DEFAULT
) -> System:
    """A row of riverrun's, with those options of riverrun_flights.py."""

    def command(python: Path, at: Where) -> Command:
        worker = [str(python), "-P", "-m", "streams.cli", "worker"]
        arguments = [str(BENCHMARKS / "riverrun_flights.py"), "--processes", str(processes)]
        return [*worker, *arguments], {
            "BENCH_NAME": at.name,
            "BENCH_WITH": ",".join(options),
            "BENCH_EVENTS": EVENTS,
            "BENCH_OUTCOMES": OUTCOMES,
            "PYTHONHASHSEED": "0",
            "KAFKA_BOOTSTRAP_SERVERS": at.servers,
            "REDIS_URL": at.redis_url,
            "RIVERRUN_HOME": str(at.home),
        }

    return System(name, ONCE, writes, None, command, models)


RIVERRUN = "riverrun"
LOOP_ONE, LOOP_THREE = "aiokafka loop, one output", "aiokafka loop, three outputs"
FAUST = "Faust as documented"
TWO, FIVE = "riverrun, two processes", "riverrun, four challengers"

PEER_SYSTEMS = [
    System(LOOP_ONE, LEAST, ONE, "faust", _loop(1)),
    System(LOOP_THREE, LEAST, THREE, "faust", _loop(3)),
    System("Bytewax", LEAST, ONE, "bytewax", _bytewax),
    System("Quix Streams", LEAST, ONE, "quix", _quix("at-least-once")),
    System("Quix Streams, exactly once", "exactly once, no state recovery", ONE, "quix",
           _quix("exactly-once")),
    System(FAUST, LEAST, ONE, "faust", _faust, events_share=0.3),
]  # fmt: skip
RIVERRUN_SYSTEMS = [
    riverrun(RIVERRUN),
    riverrun(TWO, processes=2),
    riverrun(FIVE, "challengers=4", models=5),
    riverrun("riverrun, as declared by default", "interval", "contributions", "drift",
             writes=f"{DEFAULT}, drift"),
]  # fmt: skip
PRICED = {
    "intervals": riverrun("+ intervals", "interval"),
    "contributions": riverrun("+ contributions", "contributions"),
    "drift": riverrun("+ drift", "drift"),
    "one challenger": riverrun("+ one challenger", "challengers=1", models=2),
    "segments": riverrun("+ segments", "segments"),
    "the breaker (in the default)": riverrun("- breaker", "nobreaker"),
}
"""Each feature by itself, over `riverrun`'s own row; the breaker is what its absence saves."""


def environment_of(extra: dict[str, str]) -> dict[str, str]:
    """The process environment of a run: no riverrun settings but those given."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith("RIVERRUN_")
    }
    return {**inherited, **extra}


def own_python() -> Path:
    """riverrun's own interpreter."""
    return Path(sys.executable)
