"""`riverrun new`, `check` and `profile`: from data and an idea to a use case that runs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Column, Table

from models.profiling import Profile, guessed
from schemas.errors import Misdeclared
from streams.cli.options import AsJson
from streams.cli.terminal import as_json, data, talk
from streams.loading import find, load
from streams.recordings import EMPTY, is_file, kind_of, rows_of


def register(app: typer.Typer) -> None:
    """Add this file's commands."""
    app.command()(new)
    app.command()(check)
    app.command()(profile)


def new(
    name: Annotated[str, typer.Argument(help="Its name: lower case, as in topic names.")],
    to: Annotated[
        Path | None, typer.Option(help="Where to write it. Default: usecases/NAME.py")
    ] = None,
) -> None:
    """Write a use case to begin with: commented, complete, and passing `riverrun check`.

    Example: `riverrun new delivery_time`
    """
    from models.declaration.naming import NAME

    if not NAME.fullmatch(name):
        raise Misdeclared(
            f"{name!r} cannot be part of a topic's name.",
            mend="Use lower-case letters, digits and underscores, beginning with a letter.",
        )
    path = to or Path("usecases") / f"{name}.py"
    if path.suffix != ".py":
        raise Misdeclared(f"{path} is not a Python file.", mend="End its name in .py.")
    if path.exists():
        raise Misdeclared(f"{path} exists already.", mend="Give another name, or --to FILE.")
    text = files("streams.cli").joinpath("starting_file.py.txt").read_text("utf-8")
    path.parent.mkdir(parents=True, exist_ok=True)
    filled = {"@NAME@": name, "@CONSTANT@": name.upper(), "@FILE@": str(path)}
    path.write_text(re.sub(r"@[A-Z]+@", lambda found: filled[found[0]], text), "utf-8")
    data.print(str(path), markup=False)
    talk.print(f"Next: `riverrun check {path}`, then make it yours from the top.", markup=False)


# check


def check(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A use case's file, or its name.")],
    json: AsJson = False,
) -> None:
    """Find every mistake in a use case, and run it on ten of its recorded events.

    Exit code 5 if there is one. Example: `riverrun check usecases/flight_eta.py`
    """
    from streams.checking import Examined, examine

    path = find(file)
    try:
        loaded = load(file)
        talk.print("Running it, and making its models under three hash seeds …")
        examined, use_case = examine(loaded), loaded.use_case.name
    except Misdeclared as error:
        examined, use_case = Examined([error]), path.stem
    if json:
        as_json({"use_case": use_case, "file": str(path), **_as_data(examined)})
    else:
        _show(examined, path)
    if examined.mistakes:
        raise typer.Exit(5)


def _as_data(examined: Any) -> dict[str, Any]:
    ran = examined.ran
    return {
        "mistakes": [
            {"line": m.line, "reason": m.reason, "mend": m.mend} for m in examined.mistakes
        ],
        "warnings": examined.warnings,
        "ran": None if ran is None else {"events": ran.events, "outcomes": ran.outcomes},
        "cost_us": examined.cost_us,
    }


def _show(examined: Any, path: Path) -> None:
    for warning in examined.warnings:
        talk.print(f"Note: {warning}", markup=False, style="yellow")
    if examined.mistakes:
        table = Table("line", "what is wrong", "how to mend it", box=None, title_justify="left")
        for mistake in examined.mistakes:
            line = str(mistake.line) if mistake.line else ""
            table.add_row(line, mistake.reason, mistake.mend)
        data.print(table, soft_wrap=False)
        n = len(examined.mistakes)
        talk.print(f"{path}: {n} mistake{'s' if n > 1 else ''}.", style="red", markup=False)
        return
    ran = examined.ran
    if ran is not None:
        data.print(f"ran {ran.events} events and {ran.outcomes} outcomes, none refused")
        if ran.prediction is not None:
            said, why = ran.prediction["value"], ran.prediction["reason"]
            data.print(f"its first answer: {said} ({why})", markup=False)
    for name, cost in examined.cost_us.items():
        data.print(f"{name}: {cost:,.0f} µs to answer and learn once", markup=False)
    data.print(f"{path}: no mistakes.", style="green", markup=False)


# profile


def profile(
    source: Annotated[str, typer.Argument(metavar="TOPIC|FILE", help="What to look at.")],
    outcomes: Annotated[
        str | None, typer.Option(metavar="TOPIC|FILE", help="Their outcomes, for label delays.")
    ] = None,
    time: Annotated[str | None, typer.Option(help="The field that says when.")] = None,
    id: Annotated[str, typer.Option(help="The field that both share.")] = "event_id",
    limit: Annotated[
        int | None, typer.Option(min=1, help="Look at so many records. Topics: 100,000.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Look at data before there is a model: fields, types, ranges, time, keys, label delays.

    Files: .jsonl, .ndjson, .csv, .json, also .gz or .zip. Example: `riverrun profile visits.csv`
    """
    found = Profile(time=time, id=id)
    _add(found, source, limit, whole=outcomes is not None)
    if outcomes is not None:
        for row in _rows(outcomes, limit):
            found.outcome(row)
    report = found.report()
    if json:
        as_json(report)
    else:
        _show_profile(report, source)


def _add(found: Profile, source: str, limit: int | None, *, whole: bool) -> None:
    for row in _rows(source, limit):
        kind = "event" if whole else kind_of(row)
        if kind != "outcome":
            found.event(row)
        if kind != "event":
            found.outcome(row)


def _rows(source: str, limit: int | None) -> Any:
    if not is_file(source):
        return _topic(source, limit or 100_000)
    rows = (_plain(row) for row in rows_of(Path(source)))
    return rows if limit is None else (row for row, _ in zip(rows, range(limit), strict=False))


def _plain(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """Text of a CSV file as what it stands for; JSON as it is."""
    if type(row) is dict:
        return row
    return {
        name: guessed(value, EMPTY) if isinstance(value, str) else value
        for name, value in row.items()
    }


def _topic(topic: str, limit: int) -> Any:
    from streams.servers import running
    from streams.settings import Settings
    from streams.topic_reading import read_topic

    return read_topic(topic, running(Settings.load()), limit, _broken)


def _broken(count: int) -> None:
    talk.print(f"{count} records are not JSON objects and were left out.", style="yellow")


def _show_profile(report: dict[str, Any], source: str) -> None:
    data.print(f"{source}: {report['records']:,} records", markup=False)
    columns = ("field", "type", "missing", "least", "most", "distinct", "most common")
    table = Table(*(Column(c, no_wrap=c != columns[-1]) for c in columns), box=None)
    for name, field in report["fields"].items():
        common = field["common"] if _tells(field) else []
        table.add_row(
            name,
            ", ".join(field["types"]) or "none",
            f"{field['missing']:.1%}" if field["missing"] else "",
            _short(field["least"]),
            _short(field["most"]),
            f"{field['distinct']:,}{'+' if field['distinct_at_least'] else ''}",
            ", ".join(f"{_short(value)} {share:.0%}" for value, share in common),
        )
    data.print(table, markup=False)
    _show_time(report["time"])
    _show_keys(report)
    _show_delays(report["delays"])


def _tells(field: dict[str, Any]) -> bool:
    """True if its most common values say something of it."""
    return bool(field["common"]) and (field["distinct"] <= 20 or field["common"][0][1] >= 0.05)


def _show_time(time: dict[str, Any] | None) -> None:
    if time is None:
        data.print("time: no field says when; name one with --time")
        return
    rate = f", {time['per_hour']:,.1f} an hour" if time["per_hour"] else ""
    data.print(
        f"time: {time['field']}, {time['from']} to {time['to']}{rate}, at most "
        f"{time['per_hour_most']:,} in one",
        markup=False,
    )
    if time["out_of_order"]:
        late = _about(time["out_of_order_s_most"])
        data.print(f"order: {time['out_of_order']:.1%} come after a later one, by up to {late}")
    else:
        data.print("order: in the order of their time")


def _show_keys(report: dict[str, Any]) -> None:
    if report["ids"]:
        data.print(f"ids: {', '.join(report['ids'])} (never twice the same)", markup=False)
    for key in report["keys"][:5]:
        data.print(
            f"key? {key['field']}: {key['distinct']:,} values, the largest {key['largest']:.0%}; "
            f"of 4 partitions the fullest gets {key['partition_most']:.0%}",
            markup=False,
        )


def _show_delays(delays: dict[str, Any] | None) -> None:
    if delays is None:
        return
    data.print(f"labels: {delays['labelled']:.1%} of the records have an outcome")
    if delays["unmatched"]:
        data.print(f"  {delays['unmatched']:,} outcomes belong to no record before them")
    if delays["negative"]:
        data.print(f"  {delays['negative']:,} outcomes are earlier than their event")
    if "half" in delays:
        each = "; ".join(f"{n}: {_about(delays[n])}" for n in ("half", "90 %", "99 %", "all"))
        data.print(f"  known after: {each}. horizon={delays['horizon']} keeps 99 %")


def _short(value: Any) -> str:
    if value is None:
        return ""
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 24 else text[:23] + "…"


def _about(length_s: float) -> str:
    for unit, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if abs(length_s) >= 2 * size:
            return f"{length_s / size:.3g} {unit}"
    return f"{length_s:.3g} seconds"
