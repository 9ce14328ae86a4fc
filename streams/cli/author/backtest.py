"""`riverrun backtest`: a run over recorded data, without Kafka, and the gate for CI."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from models.spec.use_case import Learning
from streams.cli.shared.option_groups import spread_options
from streams.cli.shared.options import AsJson, UseCaseName
from streams.cli.shared.progress import ProgressLine
from streams.cli.shared.recording_options import Limit, RecordingOptions, print_unmatched
from streams.cli.shared.terminal import TerminalTable, as_json, data, talk
from streams.config.use_case_loader import LoadedUseCase, load
from streams.recordings import Recording

if TYPE_CHECKING:
    from streams.offline.backtest import GateVerdict, Result

    Pair = tuple[Result, Result | None]


@spread_options
def backtest(
    usecase: UseCaseName,
    options: RecordingOptions,
    partitions: Annotated[
        str,
        typer.Option(
            help="Numbers of partitions, such as 1,4,16. Default: the use case's own, and 1."
        ),
    ] = "",
    against: Annotated[
        str | None, typer.Option(metavar="OLD", help="An older definition: its file or name.")
    ] = None,
    margin: Annotated[
        float, typer.Option(min=0.0, help="The relative loss of quality that is still accepted.")
    ] = 0.01,
    limit: Limit = None,
    examples: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write each example there, a JSON object a line: features, predictions, label.",
        ),
    ] = None,
    json: AsJson = False,
) -> None:
    """Run a use case over recorded data, without Kafka, as it would have run live.

    Where it has several partitions it is compared with one, and shared models with models of each
    partition; --partitions with its own number leaves that out.
    With --against OLD both definitions run on the same data, measured by the new one's metric and
    KPI, and the exit code is 1 if the new one is worse by more than the margin: a gate for CI.
    Example: `riverrun backtest flight_eta --partitions 1,4 --limit 50000`
    """
    from streams.offline.backtest import compared, judged_alike

    loaded = load(usecase)
    alone = bool(against or examples)
    counts = _counts(partitions, loaded, alone=alone)
    recording = options.open(loaded.use_case, limit)
    old = None if against is None else judged_alike(load(against), loaded)
    results, verdicts = [], []
    if examples is not None and len(counts) > 1:
        raise typer.BadParameter("--examples needs one number of partitions")
    for count in counts:
        with _line_writer(examples) as on_example:
            result = _run(loaded, recording, count, "new" if old else "", on_example)
        before = _run(old, recording, count, "old") if old else None
        results.append((result, before))
        if before is not None:
            verdicts += compared(result, before, margin)
    if not partitions and not alone and (other := _learning_otherwise(loaded)) is not None:
        results.append((_run(other, recording, other.use_case.partitions, "otherwise"), None))
    print_unmatched(recording)
    if json:
        as_json(_document(loaded, recording, results, verdicts, margin))
    else:
        _show(loaded, recording, results, verdicts, margin)
    nothing = all(result.events == 0 < result.refused for result, _ in results)
    if nothing:
        talk.print("Every event was refused: nothing was run.", style="red")
    if nothing or not all(verdict.passed for verdict in verdicts):
        raise typer.Exit(1)


def _counts(text: str, loaded: LoadedUseCase, *, alone: bool) -> list[int]:
    """Return the numbers of partitions to run on: by default its own, beside 1 unless `alone`."""
    if not text:
        own = loaded.use_case.partitions
        return [own] if alone or own == 1 else [own, 1]
    try:
        counts = [int(part) for part in text.split(",")]
    except ValueError:
        counts = []
    if not counts or min(counts) < 1:
        raise typer.BadParameter("give numbers from 1, separated by commas: 1,4,16")
    return counts


def _learning_otherwise(loaded: LoadedUseCase) -> LoadedUseCase | None:
    """Return the use case with models of each partition where it shares them, and the other way
    round; None where it has one partition or cannot learn so.
    """
    from models.validation import mistakes

    use_case = loaded.use_case
    if use_case.partitions == 1:
        return None
    learning: Learning = "partition" if use_case.is_shared(use_case.partitions) else "shared"
    other = replace(use_case, learning=learning)
    return None if mistakes(other) else replace(loaded, use_case=other)


@contextmanager
def _line_writer(path: Path | None) -> Iterator[Callable[[bytes], None] | None]:
    """Yield a function that writes a line to the file; None without a file."""
    if path is None:
        yield None
        return
    with path.open("wb") as file:

        def write(example: bytes) -> None:
            file.write(example + b"\n")

        yield write


def _run(
    loaded: LoadedUseCase,
    recording: Recording,
    partitions: int,
    which: str,
    on_example: Callable[[bytes], None] | None = None,
) -> Result:
    from streams.offline.backtest import backtest as run_backtest

    progress = ProgressLine(
        f"{which} {partitions} partition{'s' if partitions > 1 else ''}".strip()
    )
    try:
        return run_backtest(loaded, recording, partitions, progress, on_example)
    finally:
        progress.done()


def _document(
    loaded: LoadedUseCase,
    recording: Recording,
    results: list[Pair],
    verdicts: list[GateVerdict],
    margin: float,
) -> dict[str, Any]:
    document: dict[str, Any] = {
        "use_case": loaded.use_case.name,
        "source": recording.name,
        "recording": recording.report.as_json(),
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
    loaded: LoadedUseCase,
    recording: Recording,
    results: list[Pair],
    verdicts: list[GateVerdict],
    margin: float,
) -> None:
    data.print(f"{loaded.use_case.name} on {recording.name}")
    shown: set[int] = set()
    for result, _ in results:
        if result.partitions not in shown:  # else it is in the comparison alone
            _show_result(result)
        shown.add(result.partitions)
    if len(results) > 1:
        data.print(_comparison([result for result, _ in results]))
    for verdict in verdicts:
        word = ("ok", "green") if verdict.passed else ("worse", "red")
        change = f"{abs(verdict.worse):.2%} {'worse' if verdict.worse > 0 else 'better'}"
        data.print(
            Text.assemble(
                word,
                f" {verdict.what}, {verdict.partitions} partitions: "
                f"{_number(verdict.old)} → {_number(verdict.new)}, {change}",
            )
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
        "default labels without a KPI": result.unpriced,
        "still waiting": result.waiting,
        "came again and not counted twice": result.repeated,
        "refused": result.refused,
    }
    if any(counts.values()):
        data.print("  " + ", ".join(f"{n:,} {label}" for label, n in counts.items() if n))
    data.print(_table(result))
    for row in result.standings:
        data.print(
            f"  {row['model']} against {row['against']}, {row['question']}: {row['verdict']}, gain "
            f"{_number(row['gain'])} {row['kpi_unit']} ({_number(row['lower'])} to "
            f"{_number(row['upper'])}) in {row['blocks']} blocks. {row['recommendation']}",
        )
        doubt = row["not_promised"]
        if doubt is not None and doubt not in row["recommendation"]:
            data.print(f"    not promised here: {doubt}")
        if row["verdict"] != "undecided" and row["assumes"] is not None:
            data.print(f"    it assumes {row['assumes']}")
    for command in result.acts:
        data.print(
            f"  {command['time'][:10]} {command['verb']} {command['model']}: {command['why']}"
        )
    for word, refusal in result.refusals.items():
        talk.print(f"{refusal['count']:,} {word}, the first: {refusal['first']}")


def _comparison(results: list[Result]) -> TerminalTable:
    """Return the champion's scores on each number of partitions."""
    table = TerminalTable(
        "partitions", "models learn", results[0].metric, f"{results[0].kpi_unit} an event", box=None
    )
    for result in sorted(results, key=lambda result: (result.partitions, not result.shared)):
        score = result.scores[result.champion]
        learnt = "from all partitions" if result.shared else "from their own partition"
        learnt = "from everything" if result.partitions == 1 else learnt
        table.add_row(str(result.partitions), learnt, _number(score.metric), _number(score.kpi))
    return table


def _table(result: Result) -> TerminalTable:
    """Return the scores of each model on the same events, and how many values were withheld."""
    from models.metrics.windowed_metrics import ALL

    table = TerminalTable("", result.metric, f"{result.kpi_unit} an event", box=None)
    withheld = any(score.withheld for score in result.scores.values())
    if withheld:
        table.add_column("withheld")
        table.add_column(f"its own {result.metric}")
    for name, score in result.scores.items():
        shown = f"{name} (champion)" if name == result.champion else name
        row = [shown, _number(score.metric), _number(score.kpi)]
        if withheld and name not in ALL:
            row += [f"{score.withheld:,}", _number(score.own)]
        table.add_row(*row)
    if withheld:
        table.caption = (
            "Where a model's value was withheld (out of limits, not finite, or none), the baseline "
            "is scored instead. Its own: all values that it predicted, as River counts them."
        )
        table.caption_justify = "left"
    return table


def _number(value: float | None) -> str:
    if value is None:
        return "none"
    return "no number" if math.isnan(value) else f"{value:.5g}"
