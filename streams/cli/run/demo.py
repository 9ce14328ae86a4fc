"""`riverrun demo`: the whole loop on real flights, live."""

from __future__ import annotations

import asyncio
import logging
import sys
import webbrowser
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.live import Live

from schemas.errors import RiverrunError
from streams.cli.run.ops import has_display
from streams.cli.shared.options import AsJson
from streams.cli.shared.terminal import TerminalTable, as_json, data, talk
from streams.config.project_dir import make_home
from streams.config.settings import Settings
from streams.config.use_case_loader import load
from streams.embedded.server_discovery import started

if TYPE_CHECKING:
    from streams.demo.counts import Count
    from streams.demo.loop import Workers
    from streams.kafka.ordered_producer import OrderedProducer

ABOUT = """\
Departures from New York in 2013 are published to a Kafka on this machine. The models
predict how late each will arrive, and learn once it has landed. The page shows what that is worth.
"""
LINE_S = 5.0
"""Off a terminal, a plain line about this often."""
LOG_FILE, LAST_LINES = "demo.log", 20


def demo(
    events: Annotated[
        int, typer.Option(min=1, help="How many flights, from New Year on.")
    ] = 50_000,
    days: Annotated[
        float | None, typer.Option(min=0.01, help="Publish the first N days instead.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Publish the whole year instead.")
    ] = False,
    speed: Annotated[
        float | None,
        typer.Option(min=0.001, help="A multiple of real time. Default: as fast as possible."),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Worker processes.")] = 2,
    page: Annotated[bool, typer.Option(help="Also serve the page, as `riverrun ops`.")] = True,
    json: AsJson = False,
) -> None:
    """Show the whole loop on the flights that left New York in 2013, on a real Kafka.

    Exit code 0 only if every event got exactly one prediction and every outcome within its horizon
    was learnt. Example: `riverrun demo --events 5000 --json`
    """
    from streams.demo.loop import Workers, report, run
    from streams.demo.page_process import page_beside
    from usecases.data import nycflights

    logging.basicConfig(level=logging.ERROR)
    settings = started(Settings.load(), lambda text: talk.print(text))
    run_id = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    prefix = f"{settings.riverrun_topic_prefix}demo-{run_id}."
    ours = {"riverrun_topic_prefix": prefix}
    if not settings.riverrun_alert_limits:  # months in a minute: that many wait is meant
        ours["riverrun_alert_limits"] = "lag_records=10000000"
    settings = settings.model_copy(update=ours)
    loaded = load("flight_eta")
    if everything:
        recorded: Iterator[tuple[str, Mapping[str, Any]]] = nycflights.flights()
    elif days is not None:
        recorded = nycflights.flights(days=days)
    else:
        recorded = nycflights.flights(limit=events)
    talk.print(ABOUT)
    talk.print(f"topics {prefix}{loaded.use_case.name}.*, {workers} workers")
    began = monotonic()
    screen = Screen(loaded.use_case.metric, loaded.use_case.kpi.unit)
    addresses: list[str] = []

    def on_address(address: str) -> None:
        addresses.append(address)
        _opened(address)

    log = DemoLog(make_home(settings.home) / LOG_FILE)
    with (
        log.shown_on_failure(),
        page_beside(loaded, settings, on_address, log.write) if page else nullcontext() as beside,
    ):
        with screen.live if talk.is_terminal else nullcontext():
            count = asyncio.run(
                run(
                    loaded,
                    settings,
                    recorded,
                    workers=workers,
                    speed=speed,
                    show=screen.show,
                    hear=log.write,
                )
            )
        result = report(loaded.use_case, count, monotonic() - began)
        result["prefix"] = prefix
        if json:
            as_json(result)
        else:
            _print(result)
        if beside is not None and talk.is_terminal and sys.stdin.isatty():
            _stay(Workers(loaded, settings, log.write), workers, beside, addresses)
        if not result["complete"]:
            raise RiverrunError(
                "Some events did not get exactly one prediction, or were not learnt; see above."
            )


def _stay(crew: Workers, count: int, page: Any, addresses: list[str]) -> None:
    """Keep the workers and the page running until Ctrl-C."""
    crew.start(count)
    try:
        talk.print("\nThe page and the workers stay until Ctrl-C:", style="bold")
        talk.print(f"  {addresses[-1] if addresses else ''}")
        with suppress(KeyboardInterrupt):
            page.wait()
    finally:
        crew.stop()


class DemoLog:
    """The file with what workers and page write on stderr, for finding the cause of a failure."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("w", encoding="utf-8", buffering=1)

    def write(self, line: str) -> None:
        """Append one line; safe from any thread."""
        self._file.write(f"{line}\n")

    @contextmanager
    def shown_on_failure(self) -> Iterator[None]:
        """Show the end of the file if the block fails, and name the file."""
        try:
            yield
        except RiverrunError:
            for line in self.path.read_text("utf-8").splitlines()[-LAST_LINES:]:
                talk.print(line, style="dim")
            talk.print(f"All that workers and page wrote: {self.path}")
            raise


def _opened(address: str) -> None:
    talk.print(f"the page: {address}")
    if talk.is_terminal and has_display():
        webbrowser.open(address)


class Screen:
    """The display while the demo runs: a live table on a terminal, plain lines elsewhere."""

    def __init__(self, metric: str, unit: str) -> None:
        self.live = Live(console=talk, refresh_per_second=4, transient=False)
        self._metric = metric
        self._unit = unit
        self._line_at = 0.0
        self._before = (0.0, 0)
        self._rates: list[float] = []

    def show(self, sender: OrderedProducer, count: Count, seconds: float) -> None:
        """Update the display; called a few times a second."""
        at, answered = self._before
        if seconds > at:
            self._rates = [*self._rates, (count.answered - answered) / (seconds - at)][-8:]
        self._before = (seconds, count.answered)
        rows = self._rows(sender, count, seconds)
        if talk.is_terminal:
            self.live.update(_table(rows))
        elif seconds - self._line_at >= LINE_S:
            self._line_at = seconds
            talk.print("  ".join(f"{name}: {value}" for name, value in rows))

    def _rows(self, sender: OrderedProducer, count: Count, seconds: float) -> list[tuple[str, str]]:
        scores = count.scores()
        served, naive = scores.get("served", {}), scores.get("baseline", {})
        rate = sum(self._rates) / len(self._rates) if self._rates else 0.0
        waiting = count.answered - count.learnt
        rows = [
            ("day", (count.time or "")[:10]),
            ("seconds", f"{seconds:.0f}"),
            ("events", f"{sender.events:,}"),
            (
                "predictions",
                f"{count.answered:,} ({rate:,.0f}/s)" if count.answered else "workers are starting",
            ),
            ("lag", f"{sender.events - count.answered:,}"),
            ("learnt", f"{count.learnt:,}"),
            ("unlabelled", f"{waiting:,} ({waiting / max(count.answered, 1):.1%})"),
        ]
        if served.get("metric") is not None:
            metric, kpi = served["metric"], served["kpi"]
            rows.append((self._metric, f"{metric:.2f} (naive {naive['metric']:.2f})"))
            saved = (naive["kpi"] or 0.0) - (kpi or 0.0)
            rows.append(("saved", f"{saved:,.0f} {self._unit}"))
        return rows


def _table(rows: list[tuple[str, str]]) -> TerminalTable:
    table = TerminalTable(box=None, show_header=False)
    for name, value in rows:
        table.add_row(name, value)
    return table


def _print(result: Mapping[str, Any]) -> None:
    def shown(value: Any) -> str:
        if isinstance(value, float):
            return f"{value:,.3f}" if abs(value) < 1_000 else f"{value:,.0f}"
        return f"{value:,}"

    hidden = {"models", "complete", "prefix"}
    for name, value in result.items():
        if name not in hidden:
            data.print(f"{name:14} {value if isinstance(value, str) else shown(value)}")
    saved = (result["kpi_baseline"] or 0.0) - (result["kpi"] or 0.0)
    data.print(f"{'saved':14} {saved:,.0f} {result['kpi_unit']} against the baseline")
    prefix = result["prefix"]
    talk.print("\nLook further:", style="bold")
    for line in (
        f"riverrun verify flight_eta --sample 20 --prefix {prefix}    # derived again from the log",
        f"riverrun models list flight_eta --prefix {prefix}",
        f"riverrun tail flight_eta.predictions --from-beginning --limit 3 --prefix {prefix}",
        f"riverrun worker flight_eta --prefix {prefix}    # go on where it stopped",
        f"riverrun ops flight_eta --prefix {prefix}    # the page again",
        "riverrun backtest flight_eta --limit 50000    # the same without Kafka",
        "riverrun new my_case    # your own use case",
        "riverrun down    # stop the servers",
    ):
        talk.print(f"  {line}")
