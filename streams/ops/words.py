"""Figures in plain sentences, for people who do not code: is it worth having, can it be trusted?"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from streams.monitor.figures import AlertRow, Overview
from streams.ops.scene import Case
from streams.ops.writing import money, number, percent, span

GRAVITY = {"alarm": "bad", "warning": "warn", "notice": ""}
LABELS_MIN = 100
"""Fewer outcomes than this say nothing about worth."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """An answer at a glance: `kind` is good, warn, bad or empty; then a word, and why."""

    kind: str
    word: str
    sentence: str
    more: str = ""


def worth(case: Case, told: Overview, standing: Mapping[str, Any] | None) -> Verdict:
    """Whether it is better to have it than to answer with the baseline, and how sure that is."""
    labels = 0 if told.served is None else told.served.kpi_n
    if standing is not None and standing["blocks"] > 1:
        return _by_evidence(case, standing)
    if labels < LABELS_MIN or told.kpi_gain is None:
        return Verdict("", "Too early", f"{number(labels)} outcomes so far; {LABELS_MIN} are due.")
    gain = told.kpi_gain
    kind, word = ("good", "Yes, so far") if gain > 0 else ("warn", "Not so far")
    sentence = f"{_saves(case, gain)} against the baseline."
    return Verdict(kind, word, sentence, "How sure this is, is not known yet.")


def _by_evidence(case: Case, standing: Mapping[str, Any]) -> Verdict:
    unit = case.use_case.kpi.unit
    gain, low, high = standing["gain"], standing["lower"], standing["upper"]
    kind, word = {
        "better": ("good", "Yes"),
        "worse": ("bad", "No"),
        "undecided": ("warn", "Not decided yet"),
    }[standing["verdict"]]
    sure = percent(1 - standing["alpha"], 0 if standing["alpha"] >= 0.01 else 2)
    between = f"{money(low)} and {money(high, unit)}"
    sentence = f"{_saves(case, gain)} against the baseline; {sure} sure between {between}."
    least, most = case.use_case.kpi.range
    if high - low >= 2 * (most - least):  # it says no more than the declared range does
        sentence = f"{_saves(case, gain)} against the baseline; how sure is not known yet."
    more = f"From {number(standing['labelled'])} settled outcomes"
    if standing["missing"]:
        more += f", {number(standing['missing'])} never came"
    return Verdict(kind, word, sentence, f"{more}.")


def _saves(case: Case, gain: float) -> str:
    word = "Saves" if case.use_case.kpi.better == "lower" else "Earns"
    return (
        f"{word if gain >= 0 else 'Loses'} {money(abs(gain), case.use_case.kpi.unit)} {one(case)}"
    )


def one(case: Case) -> str:
    """One event in words, by its class's name: `a departure`."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", case.use_case.event.__name__).lower()
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def trust(told: Overview) -> Verdict:
    """Whether what it says can be relied on: it works, labels come, targets hold."""
    doubts = list(_doubts(told))
    alarms = [alert for alert in told.alerts if alert.severity == "alarm"]
    if told.state in ("stopped", "degraded") or alarms:
        return Verdict("bad", "Not now", doubts[0] if doubts else alarms[0].cause, _rest(doubts))
    if doubts:
        return Verdict("warn", "With care", doubts[0], _rest(doubts))
    served = told.served
    if served is None or served.n < LABELS_MIN:
        return Verdict("", "Too early", "Too few outcomes to judge it by.")
    held = "" if served.coverage is None else f" {percent(served.coverage)} of intervals held."
    return Verdict("good", "Yes", f"It works and keeps its targets.{held}")


def _doubts(told: Overview) -> list[str]:
    found = []
    if told.state == "stopped":
        found.append("No worker runs: nothing is answered.")
    elif told.state == "degraded":
        found.append(f"{told.partitions_live} of {told.partitions} partitions work.")
    elif told.state == "recovering":
        found.append("It is catching up after a start.")
    found += [f"{alert['cause']}: {', '.join(alert['subjects'])}." for alert in alike(told.alerts)]
    for target in told.targets:
        if target.met is False:
            shown = span(target.value) if target.name == "freshness" else number(target.value)
            bound = span(target.bound) if target.name == "freshness" else number(target.bound)
            side = "over" if target.better == "lower" else "under"
            found.append(f"{target.name} is {shown}, {side} its target of {bound}.")
    return found


def alike(alerts: Sequence[AlertRow]) -> list[dict[str, Any]]:
    """Alerts that say the same of several subjects as one, in their order."""
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    for alert in alerts:
        place = alert.rule, alert.severity, alert.cause, alert.command
        known = {
            "kind": GRAVITY.get(alert.severity, ""),
            "severity": alert.severity,
            "cause": alert.cause[:1].upper() + alert.cause[1:],
            "command": alert.command,
            "opened_at": alert.opened_at,
            "subjects": [],
        }
        found.setdefault(place, known)["subjects"].append(alert.subject)
    return list(found.values())


def _rest(doubts: list[str]) -> str:
    return "" if len(doubts) < 2 else f"And {len(doubts) - 1} more."
