"""What a silence went to, by what the workers' logs say of its partition."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

LOGGED = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) \w+ +[\w.]+: (.*)")
LIVE = re.compile(
    r"live at entry \d+ after ([\d.]+) s: ([\d.]+) s to fence, ([\d.]+) s to (\w+), "
    r"([\d.]+) s to fold (\d+) records"
)


class Line(NamedTuple):
    """One line of a worker's log; seconds since 1970."""

    at: float
    worker: str
    text: str


def lines_of(folder: Path) -> list[Line]:
    """What all workers said, in order."""
    lines = []
    for file in folder.glob("*.log"):
        for time, text in LOGGED.findall(file.read_text(errors="replace")):
            at = datetime.fromisoformat(time).timestamp()
            lines.append(Line(at, file.stem, text))
    return sorted(lines)


def reason(lines: list[Line], partition: int, began: float, seconds: float) -> str:
    """Of one silence: until who had it, what its recovery did, and what had failed before."""
    name, over = f"partition {partition}: ", began + seconds + 0.5
    during = [line for line in lines if began <= line.at <= over and line.text.startswith(name)]
    recovered = [(line, match) for line in during if (match := LIVE.search(line.text))]
    failed = sum(line.text.endswith("; recovering") for line in during)
    parts = [f"{failed} failures before" for _ in range(failed > 0)]
    if not recovered:
        return ", ".join([*parts, "its owner stayed, and did not recover"])
    live, logged = recovered[-1]
    took, fence, load, source, fold, count = logged.groups()
    if len(recovered) > 1:
        parts.append(f"{len(recovered) - 1} recoveries before")
    return ", ".join(
        [
            *parts,
            f"{max(0.0, live.at - float(took) - began):.1f} s until {live.worker} had it",
            f"{fence} to fence, {load} to {source}, {fold} to fold {int(count):,}",
            f"{max(0.0, began + seconds - live.at):.1f} until it answered",
        ]
    )
