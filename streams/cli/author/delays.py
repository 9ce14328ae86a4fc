"""`riverrun delays`: how long outcomes take, and the horizon that follows from it."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import typer
from rich.table import Table

from models.delays import delays_of
from schemas.errors import Misdeclared
from streams.cli.options import AsJson, Prefix, UseCaseName
from streams.cli.terminal import as_json, data, talk
from streams.loading import load
from streams.newest import newest
from streams.servers import running
from streams.settings import Settings
from streams.topics import names_of

BAR = 40


def register(app: typer.Typer) -> None:
    """Add this file's command."""
    app.command()(delays)


def delays(
    usecase: UseCaseName,
    segment: Annotated[
        str | None, typer.Option("--segment", help="Its curve; default: everything's.")
    ] = None,
    prefix: Prefix = None,
    json: AsJson = False,
) -> None:
    """Show how long outcomes take: which share has its label by what age, and which never.

    Proposes the horizon after which 1 % of all outcomes still comes. Those that still wait are
    counted as waiting, not left out (Kaplan-Meier). Example: `riverrun delays flight_eta`
    """
    settings = running(Settings.load(riverrun_topic_prefix=prefix))
    use_case = load(usecase).use_case
    rows = asyncio.run(newest([names_of(use_case, settings)["delays"]], settings))
    found = delays_of(rows, use_case.horizon)
    if json:
        as_json([{"segment": name, **said} for name, said in found.items()])
        return
    if segment not in found:
        known = ", ".join(name for name in found if name) or "none"
        raise Misdeclared(
            f"{usecase} has no delays" + (f" of segment {segment!r}" if segment else "") + " yet.",
            mend=f"They come with the first metrics of its workers. Segments with one: {known}.",
        )
    _show(found[segment])
    if segment is None and len(found) > 1:
        _compare(found)


def _show(said: dict[str, Any]) -> None:
    lines, curve = Table("age", "has its label", "", box=None), said["curve"]
    top, before = curve[-1][1] or 1.0, -1.0
    for age, share in curve:
        # Where nothing comes, nothing is to be seen.
        if share - before >= 0.02 * top:
            lines.add_row(_length(age), f"{share:.1%}", "█" * round(share * BAR))
            before = share
    data.print(lines)
    proposed, n = said["proposed_horizon_s"], said["labels"]
    data.print(
        f"{n:,} labels; {said['plateau']:.1%} ever come; {said['share_at_horizon']:.1%} "
        f"by the declared horizon of {_length(said['horizon_s'])}"
    )
    if proposed is None:
        talk.print("too few labels to propose a horizon")
    else:
        data.print(f"proposed horizon: {_length(proposed)} (1 % of the outcomes come later)")


def _compare(found: dict[str | None, dict[str, Any]]) -> None:
    table = Table("segment", "labels", "half by", "90 % by", "ever", "proposed horizon", box=None)
    for name, said in found.items():
        half, most = said["quantiles_s"]["0.5"], said["quantiles_s"]["0.9"]
        table.add_row(
            name or "(all)",
            f"{said['labels']:,}",
            _length(half),
            _length(most),
            f"{said['plateau']:.1%}",
            _length(said["proposed_horizon_s"]),
        )
    data.print(table)


def _length(age_s: float | None) -> str:
    if age_s is None:
        return "-"
    for size, word in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if age_s >= size:
            return f"{age_s / size:.3g} {word}"
    return f"{age_s:.3g} s"
