"""Verdicts in plain sentences: is the use case worth its cost, can its predictions be trusted?"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import filterfalse
from typing import Any

from models.metrics.targets import TargetStatus
from models.stats.adaptive_conformal import coverage_doubt
from streams.monitor.store.view_models import RECENT, AlertRow, Overview
from streams.web.render.formatting import money, number, percent
from streams.web.state.page_model import Case

SEVERITY_KINDS = {"alarm": "bad", "warning": "warn", "notice": ""}
TARGET_RULES = ("target-missed", "freshness")
CHANCE = "This may be chance."
LABELS_MIN = 100
"""Fewer outcomes than this allow no verdict."""


@dataclass(frozen=True, slots=True)
class PlainVerdict:
    """A verdict: `kind` is good, warn, bad or empty; then a word and the reason."""

    kind: str
    word: str
    sentence: str
    more: str = ""


def worth(case: Case, overview: Overview, standing: Mapping[str, Any] | None) -> PlainVerdict:
    """Return whether the predictions are better than the baseline's, and how certain that is."""
    labels = 0 if overview.served is None else overview.served.kpi_n
    if standing is not None and standing["blocks"] > 1:
        return _by_evidence(case, standing)
    if labels < LABELS_MIN or overview.kpi_gain is None:
        return PlainVerdict(
            "", "Too early", f"{number(labels)} outcomes so far; {LABELS_MIN} are needed."
        )
    gain = overview.kpi_gain
    kind, word = ("good", "Yes, so far") if gain > 0 else ("warn", "Not so far")
    sentence = f"{_saves(case, gain)} against the baseline."
    return PlainVerdict(kind, word, sentence, "The confidence is not known yet.")


def _by_evidence(case: Case, standing: Mapping[str, Any]) -> PlainVerdict:
    gain = standing["gain"]
    kind, word = {
        "better": ("good", "Yes"),
        "worse": ("bad", "No"),
        "undecided": ("" if gain >= 0 else "warn", "Undecided"),
    }[standing["verdict"]]
    doubt = standing.get("not_promised")  # what an older riverrun wrote does not say it
    if doubt and standing["verdict"] == "better":
        kind, word = "warn", "Yes, so far"
    sentence = f"{_saves(case, gain)} against the baseline; {confidence_text(case, standing)}."
    evidence = f"From {number(standing['labelled'])} outcomes in closed blocks"
    if standing["missing"]:
        evidence += f", {number(standing['missing'])} missing"
    more = f"{evidence}. Not promised here: {doubt}." if doubt else f"{evidence}."
    return PlainVerdict(kind, word, sentence, more + assumption_text(standing))


def assumption_text(standing: Mapping[str, Any]) -> str:
    """Return what a verdict takes for granted, as a further sentence; nothing without a verdict."""
    assumes = standing.get("assumes")  # what an older riverrun wrote does not say it
    decided = standing["verdict"] != "undecided"
    return f" It assumes {assumes}." if assumes and decided else ""


def confidence_text(case: Case, standing: Mapping[str, Any]) -> str:
    """Return the confidence sequence of a comparison's gain, or why it is unknown."""
    if standing["verdict"] == "undecided" and standing["blocks"] < standing["blocks_least"]:
        return f"not enough blocks yet ({standing['blocks']} of {standing['blocks_least']})"
    low, high = standing["lower"], standing["upper"]
    least, most = case.use_case.kpi.range
    if high - low >= 2 * (most - least) * (1 - 1e-9):  # no narrower than the declared range
        return "the confidence is not known yet"
    level = percent(1 - standing["alpha"], 0 if standing["alpha"] >= 0.01 else 2)
    return f"{level} confidence: {money(low)} to {money(high, case.use_case.kpi.unit)}"


def _saves(case: Case, gain: float) -> str:
    gains = "Saves" if case.use_case.kpi.better == "lower" else "Earns"
    verb = gains if gain >= 0 else "Loses"
    return f"{verb} {money(abs(gain), case.use_case.kpi.unit)} {event_noun(case)}"


def event_noun(case: Case) -> str:
    """Return one event in words, by its class's name: `a departure`."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", case.use_case.event.__name__).lower()
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def trust(overview: Overview) -> PlainVerdict:
    """Return whether the predictions can be trusted: health, alerts, targets."""
    doubts = list(_doubts(overview))
    alarms = [alert for alert in overview.alerts if alert.severity == "alarm"]
    if overview.state in ("stopped", "degraded") or alarms:
        return PlainVerdict(
            "bad", "Not now", doubts[0] if doubts else alarms[0].cause, _rest(doubts)
        )
    if doubts:
        return PlainVerdict("warn", "With care", doubts[0], _rest(doubts))
    changed = _changed(overview)
    served = overview.served
    if served is None or served.n < LABELS_MIN:
        return PlainVerdict("", "Too early", "There are too few outcomes.")
    for target in overview.targets:
        if target.met is False:
            early = overview.windows < RECENT and target.name != "freshness"
            why = f"Only {overview.windows} of {RECENT} windows exist." if early else CHANCE
            return PlainVerdict("", "Too early", f"{_beyond(target)} {why}", changed)
    sentence = "All partitions work and targets are met."
    if served.coverage is not None:
        sentence += f" {percent(served.coverage)} of intervals covered the outcome."
    return PlainVerdict("good", "Yes", sentence, changed)


def _doubts(overview: Overview) -> list[str]:
    doubts = []
    if overview.state == "stopped":
        doubts.append("No worker runs: events get no predictions.")
    elif overview.state == "degraded":
        doubts.append(f"{overview.partitions_live} of {overview.partitions} partitions are live.")
    elif overview.state == "recovering":
        doubts.append("It is recovering after a start.")
    served = overview.served
    if served is not None and served.coverage is not None and overview.level is not None:
        doubt = coverage_doubt(served.coverage, served.intervals, overview.level)
        doubts += [f"{doubt}."] if doubt else []
    doubts += map(_sentence, filterfalse(_is_followed, group_alerts(overview.alerts)))
    alerted = {alert.subject for alert in overview.alerts if alert.rule in TARGET_RULES}
    for target in overview.targets:
        if target.met is False and target.name not in alerted and not overview.undecided(target):
            doubts.append(_beyond(target))
    return doubts


def _sentence(alert: Mapping[str, Any]) -> str:
    if alert["rule"] in TARGET_RULES:  # its cause names it
        return f"{alert['cause']}."
    return f"{alert['cause']}: {', '.join(alert['subjects'])}."


def _is_followed(alert: Mapping[str, Any]) -> bool:
    """Return whether models follow a change by themselves: no error has risen."""
    return bool(alert["rule"] == "drift" and alert["severity"] != "alarm")


def _changed(overview: Overview) -> str:
    followed = filter(_is_followed, group_alerts(overview.alerts))
    subjects = [name for alert in followed for name in alert["subjects"]]
    more = f" and {len(subjects) - 2} more" if len(subjects) > 2 else ""
    return f"Changed: {', '.join(subjects[:2])}{more}." if subjects else ""


def _beyond(target: TargetStatus) -> str:
    return f"T{target.measured()[1:]}."


def group_alerts(alerts: Sequence[AlertRow]) -> list[dict[str, Any]]:
    """Return alerts that differ only in their subject as one, in their order."""
    groups: dict[tuple[str, ...], dict[str, Any]] = {}
    for alert in alerts:
        key = alert.rule, alert.severity, alert.cause, alert.command
        group = {
            "rule": alert.rule,
            "kind": SEVERITY_KINDS.get(alert.severity, ""),
            "severity": alert.severity,
            "cause": alert.cause[:1].upper() + alert.cause[1:],
            "command": alert.command,
            "opened_at": alert.opened_at,
            "subjects": [],
        }
        groups.setdefault(key, group)["subjects"].append(alert.subject)
    return list(groups.values())


def _rest(doubts: list[str]) -> str:
    return "" if len(doubts) < 2 else f"And {len(doubts) - 1} more."
