"""The audit trail: all that was done to a use case and by it, in order, from the topics.

Commands (with what became of them in each partition), changes of models, definitions, redefinitions
and what the decider found. There is no other record of it anywhere: whoever reads the topics finds
the same. What partitions do together, under one command or one act, is one entry.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import orjson

from streams.registry import together

Row = Mapping[str, Any]
Kind = Literal["command", "change", "definition", "redefinition", "verdict"]
ACTED = ("operator", "rule", "safeguard")


@dataclass(slots=True)
class Act:
    """One entry. `cause` is as on `lifecycle`; `time` is when Kafka had it, ISO 8601, UTC;
    `places` are where it was applied, PARTITION/STEP, as `--as-of` takes them.
    """

    time: str
    kind: Kind
    what: str
    who: str
    why: str
    cause: str
    model: str | None = None
    segment: str | None = None
    partitions: list[int] = field(default_factory=list)
    refused: dict[int, str] = field(default_factory=dict)
    outcome: str = ""
    changes: list[str] = field(default_factory=list)
    places: list[str] = field(default_factory=list)
    command_id: str | None = None
    evidence: Mapping[str, Any] | None = None

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self) | {"refused": {str(n): why for n, why in sorted(self.refused.items())}}


def trail(
    *,
    commands: Iterable[Row] = (),
    lifecycle: Iterable[Row] = (),
    refusals: Iterable[Row] = (),
    definitions: Iterable[Row] = (),
    redefined: Iterable[Row] = (),
    verdicts: Iterable[Row] = (),
    partitions: int,
) -> list[Act]:
    """Everything in the order of time. Rows are records as JSON has them, with `time` added."""
    acts = _commands(commands, refusals, partitions)
    for change in together(lifecycle):
        act = acts.get(change["command_id"] or "")
        if act is None:
            act = _change(change)
            acts[f"change {len(acts)}"] = act
        else:
            act.changes.append(_changed(change))
        act.partitions = sorted({*act.partitions, *change["partitions"]})
        act.places = sorted({*act.places, *change["places"]}, key=_in_order)
    for act in acts.values():
        if act.kind == "command":
            act.outcome = _outcome(act, partitions)
    others = [*_definitions(definitions), *_redefined(redefined, partitions), *_verdicts(verdicts)]
    return sorted([*acts.values(), *others], key=lambda act: act.time)


def _in_order(place: str) -> tuple[int, ...]:
    return tuple(map(int, place.split("/")))


def _commands(commands: Iterable[Row], refusals: Iterable[Row], partitions: int) -> dict[str, Act]:
    acts: dict[str, Act] = {}
    for row in commands:
        if row["command_id"] not in acts:
            model = f" {row['model']}" if row.get("model") else ""
            acts[row["command_id"]] = Act(
                time=row["time"],
                kind="command",
                what=f"{row['verb']}{model}",
                who=row["who"],
                why=row["why"],
                cause="rule" if row["who"] == "decider" else "operator",
                model=row.get("model"),
                command_id=row["command_id"],
                evidence=row.get("evidence"),
            )
    for row in refusals:
        act = acts.get(_id_of(row))
        if act is not None:
            act.refused[row["partition"]] = row["error"]
    return acts


def _id_of(refusal: Row) -> str:
    """The id of the command that a dead letter holds."""
    try:
        found = orjson.loads(b64decode(refusal["value_base64"] or ""))
    except (ValueError, orjson.JSONDecodeError):
        return ""
    return str(found.get("command_id", "")) if isinstance(found, dict) else ""


def _outcome(act: Act, partitions: int) -> str:
    applied = set(act.partitions)
    parts = [f"applied in {len(applied)} of {partitions}"]
    if act.refused:
        parts.append(f"refused in {len(act.refused)}")
    left = partitions - len(applied | set(act.refused))
    if left:
        parts.append(f"no answer from {left}")
    return ", ".join(parts)


def _change(change: Row) -> Act:
    return Act(
        time=change["time"],
        kind="change",
        what=_changed(change),
        who=change["who"],
        why=change["why"],
        cause=change["cause"],
        model=change["model"],
        segment=change["segment"],
        command_id=change["command_id"],
        evidence=change["evidence"],
    )


def _changed(change: Row) -> str:
    whose = change["model"] + (f" of {change['segment']}" if change["segment"] else "")
    before = f"{change['from_state']} → " if change["from_state"] else ""
    return f"{whose}: {before}{change['to_state']}"


def _definitions(rows: Iterable[Row]) -> Iterable[Act]:
    seen = set()
    for row in rows:
        if row["definition"] not in seen:
            seen.add(row["definition"])
            yield Act(
                time=row["time"],
                kind="definition",
                what=f"definition {row['definition']} published",
                who="riverrun",
                why=f"{row['file']}, {row['runtime']}",
                cause="definition",
                evidence={name: row[name] for name in ("python", "river", "riverrun")},
            )


def _redefined(rows: Iterable[Row], partitions: int) -> Iterable[Act]:
    acts: dict[tuple[str, ...], Act] = {}
    for row in rows:
        said = row["redefined"]
        place = (row["definition"], said["before"], said["how"], said["who"], said["why"])
        act = acts.get(place)
        if act is None:
            act = acts[place] = Act(
                time=row["time"],
                kind="redefinition",
                what=f"definition {said['before']} → {row['definition']} ({said['how']})",
                who=said["who"],
                why=said["why"],
                cause="operator",
            )
        act.partitions = sorted({*act.partitions, row["partition"]})
        act.outcome = f"begun in {len(act.partitions)} of {partitions}"
    return acts.values()


def _verdicts(rows: Iterable[Row]) -> Iterable[Act]:
    """What was found, once each time that it changed, and whenever a rule acted on it."""
    known: dict[tuple[Any, ...], str] = {}
    for row in rows:
        place = tuple(row[name] for name in ("question", "model", "against", "segment"))
        if known.get(place, "undecided") == row["verdict"] and row["command_id"] is None:
            continue
        known[place] = row["verdict"]
        yield Act(
            time=row["time"],
            kind="verdict",
            what=f"{row['model']} {row['verdict']} than {row['against']} ({row['question']})"
            if row["verdict"] != "undecided"
            else f"{row['model']} against {row['against']}: undecided again ({row['question']})",
            who="decider",
            why=f"gain {row['gain']:.4g} {row['kpi_unit']} a prediction in [{row['lower']:.4g}, "
            f"{row['upper']:.4g}] after {row['blocks']} blocks: {row['recommendation']}",
            cause="rule",
            model=row["model"],
            segment=row["segment"],
            command_id=row["command_id"],
            evidence=dict(row),
        )
