"""`riverrun delays`: how long outcomes take, and the horizon that follows from it."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import typer

from models.metrics.label_delays import delays_of
from schemas.errors import ConfigError
from streams.cli.shared.options import AsJson, Prefix, UseCaseName
from streams.cli.shared.terminal import TerminalTable, as_json, data, talk
from streams.config.settings import Settings
from streams.config.use_case_loader import load
from streams.embedded.server_discovery import running
from streams.kafka.newest_by_key import newest
from streams.topics.topic_admin import names_of

BAR = 40


def delays(
    usecase: UseCaseName,
    segment: Annotated[
        str | None, typer.Option("--segment", help="Only this segment. Default: all.")
    ] = None,
    prefix: Prefix = None,
    json: AsJson = False,
) -> None:
    """Show how long outcomes take: which share has its label by what age, and which never.

    Proposes the horizon after which 1 % of all outcomes still comes. Predictions that still
    wait count as censored (Kaplan-Meier). Example: `riverrun delays flight_eta`
    """
    settings = running(Settings.load(riverrun_topic_prefix=prefix))
    use_case = load(usecase).use_case
    rows = asyncio.run(newest("delays", names_of(use_case, settings)["delays"], settings))
    summaries = delays_of(rows, use_case.horizon)
    if json:
        as_json([{"segment": name, **summary} for name, summary in summaries.items()])
        return
    if segment not in summaries:
        segments = ", ".join(name for name in summaries if name) or "none"
        raise ConfigError(
            f"{usecase} has no delays" + (f" of segment {segment!r}" if segment else "") + " yet.",
            hint=f"Workers publish them with their first metrics. Segments with some: {segments}.",
        )
    _show(summaries[segment])
    if segment is None and len(summaries) > 1:
        _compare(summaries)


def _show(summary: dict[str, Any]) -> None:
    lines, curve = TerminalTable("age", "has its label", "", box=None), summary["curve"]
    top, before = curve[-1][1] or 1.0, -1.0
    for age, share in curve:
        # Where nothing comes, nothing is to be seen.
        if share - before >= 0.02 * top:
            lines.add_row(_length(age), f"{share:.1%}", "█" * round(share * BAR))
            before = share
    data.print(lines)
    proposed, n = summary["proposed_horizon_s"], summary["labels"]
    data.print(
        f"{n:,} labels; {summary['plateau']:.1%} ever come; {summary['share_at_horizon']:.1%} "
        f"by the declared horizon of {_length(summary['horizon_s'])}"
    )
    if proposed is None:
        talk.print("too few labels to propose a horizon")
    else:
        data.print(f"proposed horizon: {_proposal(summary)}")
        if summary["proposed_is_least"]:
            talk.print(
                "outcomes still come at the longest age that is told apart: raise id_retention "
                "to see how late they are"
            )


def _compare(summaries: dict[str | None, dict[str, Any]]) -> None:
    table = TerminalTable(
        "segment", "labels", "half by", "90 % by", "ever", "proposed horizon", box=None
    )
    for name, summary in summaries.items():
        half, most = summary["quantiles_s"]["0.5"], summary["quantiles_s"]["0.9"]
        table.add_row(
            name or "(all)",
            f"{summary['labels']:,}",
            _length(half),
            _length(most),
            f"{summary['plateau']:.1%}",
            _proposal(summary),
        )
    data.print(table)


def _proposal(summary: dict[str, Any]) -> str:
    length = _length(summary["proposed_horizon_s"])
    if summary["proposed_horizon_s"] is None:
        return length
    if summary["proposed_is_least"]:
        return f"at least {length}"
    return f"{length} (1 % of the outcomes come later)"


def _length(age_s: float | None) -> str:
    if age_s is None:
        return "-"
    for size, word in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if age_s >= size:
            return f"{age_s / size:.3g} {word}"
    return f"{age_s:.3g} s"
