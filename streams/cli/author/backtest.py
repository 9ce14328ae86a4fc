"""`riverrun backtest`: what a use case would have said of recorded data, and the gate for CI."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from schemas.errors import Misdeclared
from streams.cli.options import AsJson, UseCaseName
from streams.cli.progress import Progress
from streams.cli.terminal import as_json, data, talk
from streams.loading import Loaded, load
from streams.recordings import Recording, TopicReader, recording_of

if TYPE_CHECKING:
    from streams.backtests import Result, Verdict

    Pair = tuple[Result, Result | None]


def register(app: typer.Typer) -> None:
    """Add this file's command."""
    app.command("backtest")(backtest_command)


def backtest_command(
    usecase: UseCaseName,
    source: Annotated[
        str | None, typer.Option(metavar="TOPIC|FILE", help="Instead of its own recorded data.")
    ] = None,
    outcomes: Annotated[
        str | None, typer.Option(metavar="TOPIC|FILE", help="Where the source has only events.")
    ] = None,
    partitions: Annotated[
        str, typer.Option(help="Numbers of partitions, such as 1,4,16. Default: its own.")
    ] = "",
    against: Annotated[
        str | None, typer.Option(metavar="OLD", help="An older definition: its file or name.")
    ] = None,
    margin: Annotated[
        float, typer.Option(min=0.0, help="How much worse is still accepted, relative.")
    ] = 0.01,
    limit: Annotated[int | None, typer.Option(min=1, help="Read so many records.")] = None,
    json: AsJson = False,
) -> None:
    """Run a use case over recorded data, without Kafka, as it would have run live.

    With --against OLD both definitions run on the same data, measured by the new one's metric and
    KPI, and the exit code is 1 if the new one is worse by more than the margin: a gate for CI.
    Example: `riverrun backtest flight_eta --partitions 1,4 --limit 50000`
    """
    from streams.backtests import compared, judged_alike

    loaded = load(usecase)
    counts = _counts(partitions, loaded)
    if outcomes is not None and source is None:
        raise Misdeclared("--outcomes is given without --source.", mend="Name both.")
    recording = recording_of(loaded.use_case, source, outcomes, topic_reader(limit), limit)
    old = None if against is None else judged_alike(load(against), loaded)
    results, verdicts = [], []
    for count in counts:
        result = _run(loaded, recording, count, "new" if old else "")
        before = _run(old, recording, count, "old") if old else None
        results.append((result, before))
        if before is not None:
            verdicts += compared(result, before, margin)
    if json:
        as_json(_document(loaded, recording, results, verdicts, margin))
    else:
        _show(loaded, recording, results, verdicts, margin)
    if not all(verdict.passed for verdict in verdicts):
        raise typer.Exit(1)


def _counts(text: str, loaded: Loaded) -> list[int]:
    if not text:
        return [loaded.use_case.partitions]
    try:
        counts = [int(part) for part in text.split(",")]
    except ValueError:
        counts = []
    if not counts or min(counts) < 1:
        raise typer.BadParameter("give numbers from 1, separated by commas: 1,4,16")
    return counts


def topic_reader(limit: int | None) -> TopicReader:
    """What reads a topic's JSON objects, at most `limit`, and says what it left out."""
    from streams.servers import running
    from streams.settings import Settings
    from streams.topic_reading import read_topic

    def read(topic: str) -> Any:
        def broken(count: int) -> None:
            talk.print(f"{topic}: {count} records are not JSON objects and were left out.")

        return read_topic(topic, running(Settings.load()), limit, broken)

    return read


def _run(loaded: Loaded, recording: Recording, partitions: int, which: str) -> Result:
    from streams.backtests import backtest

    progress = Progress(f"{which} {partitions} partition{'s' if partitions > 1 else ''}".strip())
    try:
        return backtest(loaded, recording, partitions, progress)
    finally:
        progress.done()


def _document(
    loaded: Loaded,
    recording: Recording,
    results: list[Pair],
    verdicts: list[Verdict],
    margin: float,
) -> dict[str, Any]:
    document: dict[str, Any] = {
        "use_case": loaded.use_case.name,
        "source": recording.name,
        "runs": [result.as_json() for result, _ in results],
    }
    if verdicts:
        document["against"] = {
            "runs": [before.as_json() for _, before in results if before is not None],
            "margin": margin,
            "figures": [asdict(verdict) for verdict in verdicts],
            "passed": all(verdict.passed for verdict in verdicts),
        }
    return document


def _show(
    loaded: Loaded,
    recording: Recording,
    results: list[Pair],
    verdicts: list[Verdict],
    margin: float,
) -> None:
    data.print(f"{loaded.use_case.name} on {recording.name}", markup=False)
    for result, _ in results:
        _show_result(result)
    for verdict in verdicts:
        word = "[green]ok[/]" if verdict.passed else "[red]worse[/]"
        change = f"{abs(verdict.worse):.2%} {'worse' if verdict.worse > 0 else 'better'}"
        data.print(
            f"{word} {verdict.what}, {verdict.partitions} partitions: "
            f"{_number(verdict.old)} → {_number(verdict.new)}, {change}"
        )
    if not all(verdict.passed for verdict in verdicts):
        talk.print(f"The new definition is worse by more than {margin:.2%}.", style="red")


def _show_result(result: Result) -> None:
    s = "s" if result.partitions > 1 else ""
    data.print(
        f"\n{result.partitions} partition{s}: {result.scored:,} of {result.events:,} events "
        f"scored, {result.records_per_s:,.0f} records/s"
    )
    counts = {
        "late": result.late,
        "expired": result.expired,
        "still waiting": result.waiting,
        "refused": result.refused,
    }
    if any(counts.values()):
        data.print("  " + ", ".join(f"{n:,} {what}" for what, n in counts.items() if n))
    table = Table("", result.metric, f"{result.kpi_unit} an event", box=None)
    for name, score in result.scores.items():
        shown = f"{name} (champion)" if name == result.champion else name
        table.add_row(shown, _number(score.metric), _number(score.kpi))
    data.print(table)
    for row in result.standings:
        data.print(
            f"  {row['model']} against {row['against']}, {row['question']}: {row['verdict']}, gain "
            f"{_number(row['gain'])} {row['kpi_unit']} ({_number(row['lower'])} to "
            f"{_number(row['upper'])}) in {row['blocks']} blocks. {row['recommendation']}",
            markup=False,
        )
    for act in result.acts:
        data.print(f"  {act['time'][:10]} {act['verb']} {act['model']}: {act['why']}", markup=False)
    for word, refusal in result.refusals.items():
        talk.print(f"{refusal['count']:,} {word}, the first: {refusal['first']}", markup=False)


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.5g}"
