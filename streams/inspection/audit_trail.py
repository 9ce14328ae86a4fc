"""The audit trail: all that was done to a use case and by it, in order, from the topics.

Commands (with what became of them in each partition), changes of models, definitions, redefinitions
and the decider's verdicts. The topics are the only record: everyone who reads them gets the same
trail. What partitions do together, under one command or one action, is one entry.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import orjson

from schemas.errors import Unavailable
from schemas.topics import LEARNER
from streams.config.naming import position_in_order
from streams.config.settings import Settings
from streams.inspection.model_registry import together
from streams.kafka.record_decoder import time_of
from streams.kafka.topic_reader import TopicReader
from streams.operations.alert_mutes import MUTED
from streams.operations.command_sender import MODEL_VERBS
from streams.operations.operator_actions import LETTERS

Row = Mapping[str, Any]
Kind = Literal["command", "change", "definition", "redefinition", "verdict"]
IDS_SHOWN = 5
TOPICS = ("commands", "lifecycle", "dead-letter", "definitions", "journal", "verdicts")
REDEFINED, DELIVERED = b'"redefined":{', b'"verb":"deliver"'
PROGRESS_EVERY = 5_000
NOT_OF_IT = ("partition", "chunk", "time")
"""The fields of a command's row that are not the command, or that hold only parts of it."""


@dataclass(slots=True)
class AuditEntry:
    """One entry. `cause` is as on `lifecycle`; `time` is when Kafka had it, ISO 8601, UTC;
    `positions` are where it was applied, PARTITION/STEP, as `--as-of` takes them; `command` is all
    that was asked; `notes` say what was refused and why, what was not held, which models began.
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
    notes: list[str] = field(default_factory=list)
    positions: list[str] = field(default_factory=list)
    command_id: str | None = None
    evidence: Mapping[str, Any] | None = None
    command: Mapping[str, Any] | None = None

    def as_json(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self) | {"refused": {str(n): why for n, why in sorted(self.refused.items())}}


async def audited(
    settings: Settings,
    names: Mapping[str, str],
    on_progress: Callable[[int], None] = lambda _: None,
) -> list[AuditEntry]:
    """Return the whole trail; reads the journal from end to end, which records redefinitions."""
    count = 0
    async with TopicReader([names[kind] for kind in TOPICS], settings) as reader:
        partitions = len(reader.of(names["lifecycle"]))
        if not partitions:
            raise Unavailable(f"There is no topic {names['lifecycle']}. See `riverrun topics`.")

        async def rows(
            kind: str, wanted: Callable[[Any], bool] = lambda _: True
        ) -> list[dict[str, Any]]:
            nonlocal count
            collected = []
            for topic_partition in reader.of(names[kind]):
                async for record in reader.records(topic_partition):
                    count += 1
                    if count % PROGRESS_EVERY == 0:
                        on_progress(count)
                    if record.value is None or not wanted(record):
                        continue
                    if (row := reader.row(kind, record)) is not None:
                        time = time_of(record.timestamp)
                        collected.append({"partition": record.partition} | row | {"time": time})
            return sorted(collected, key=lambda row: str(row["time"]))

        return trail(
            commands=await rows("commands", lambda record: DELIVERED not in record.value),
            lifecycle=await rows("lifecycle"),
            refusals=await rows("dead-letter", lambda record: b'"stage":"command"' in record.value),
            definitions=await rows("definitions"),
            redefined=await rows("journal", lambda record: REDEFINED in record.value),
            verdicts=await rows("verdicts"),
            partitions=partitions,
        )


def trail(
    *,
    commands: Iterable[Row] = (),
    lifecycle: Iterable[Row] = (),
    refusals: Iterable[Row] = (),
    definitions: Iterable[Row] = (),
    redefined: Iterable[Row] = (),
    verdicts: Iterable[Row] = (),
    partitions: int,
) -> list[AuditEntry]:
    """Return all entries in the order of time.

    Rows are records as JSON has them, with `time` added.
    """
    lifecycle = list(lifecycle)
    entries = _commands(commands, refusals)
    begun = [change for change in lifecycle if "begun" in (change["evidence"] or {})]
    for change in together(change for change in lifecycle if change not in begun):
        entry = entries.get(change["command_id"] or "")
        if entry is None:
            entry = _change(change)
            entries[f"change {len(entries)}"] = entry
        else:
            entry.changes.append(_changed(change))
        entry.partitions = sorted({*entry.partitions, *change["partitions"]})
        if change["step"]:  # else no partition did it
            entry.positions = sorted(
                {*entry.positions, *change["positions"]}, key=position_in_order
            )
    released = _released(lifecycle)
    learns = any(change["partition"] == LEARNER for change in lifecycle)
    for entry in entries.values():
        if entry.kind == "command":
            # A record is on one partition, and a shared model is the learner's alone.
            verb = (entry.command or {}).get("verb")
            alone = entry.what == "skip" or (learns and verb in MODEL_VERBS)
            count = 1 if alone else partitions
            entry.outcome = _outcome(entry, count, released.get(entry.command_id or "", set()))
    redefinitions = _redefined(redefined, begun, partitions)
    others = [*_definitions(definitions), *redefinitions, *_verdicts(verdicts)]
    return sorted([*entries.values(), *others], key=lambda entry: entry.time)


def _commands(commands: Iterable[Row], refusals: Iterable[Row]) -> dict[str, AuditEntry]:
    entries: dict[str, AuditEntry] = {}
    positions: dict[str, dict[int, str]] = {}
    for row in commands:
        command_id = row["command_id"]
        if row.get("model_state"):
            position = str(row["model_state"]["as_of"])
            positions.setdefault(command_id, {})[position_in_order(position)[0]] = position
        if command_id not in entries:
            entries[command_id] = AuditEntry(
                time=row["time"],
                kind="command",
                what=_in_words(row),
                who=row["who"],
                why=row["why"],
                cause="rule" if row["who"] == "decider" else "operator",
                model=row.get("model"),
                command_id=command_id,
                evidence=row.get("evidence"),
                command={n: v for n, v in row.items() if n not in (*NOT_OF_IT, "model_state")},
            )
    for command_id, as_of in positions.items():
        entry, as_ofs = entries[command_id], [position for _, position in sorted(as_of.items())]
        entry.what += f" as of {', '.join(as_ofs)}"
        entry.command = {**(entry.command or {}), "as_of": as_ofs}
    for row in refusals:
        refused = entries.get(_id_of(row))
        if refused is not None:
            refused.refused[row["partition"]] = row["error"]
    for entry in entries.values():
        reasons: dict[str, list[str]] = {}
        for number, why in sorted(entry.refused.items()):
            reasons.setdefault(why, []).append(str(number))
        entry.notes += [f"refused in {', '.join(n)}: {why}" for why, n in reasons.items()]
    return entries


def _in_words(row: Row) -> str:
    """Return a command in words, with its arguments."""
    words = [str(row["verb"])]
    if row.get("model"):
        words.append(str(row["model"]))
    if row.get("share") is not None:
        words.append(f"to {100 * row['share']:g} % of the units")
    if row.get("watermark") is not None:
        words.append(f"to {row['watermark']}")
    if row.get("record") is not None:
        words.append(f"{row['record']['input']} offset {row['record']['offset']}")
    ids = list(map(str, row.get("event_ids") or ()))
    if ids:
        more = f" and {len(ids) - IDS_SHOWN} more" if len(ids) > IDS_SHOWN else ""
        words.append(", ".join(ids[:IDS_SHOWN]) + more)
    return " ".join(words)


def _released(lifecycle: Iterable[Row]) -> dict[str, set[str]]:
    """Return command id → the events whose quarantined outcomes it released."""
    released: dict[str, set[str]] = {}
    for change in lifecycle:
        if change["to_state"] == "released" and change["command_id"]:
            ids = (change["evidence"] or {}).get("released", ())
            released.setdefault(change["command_id"], set()).update(ids)
    return released


def _id_of(refusal: Row) -> str:
    """Return the id of the command that a dead letter holds; empty if it cannot be read."""
    try:
        command = orjson.loads(b64decode(refusal["value_base64"] or ""))
    except (ValueError, orjson.JSONDecodeError):
        return ""
    return str(command.get("command_id", "")) if isinstance(command, dict) else ""


def _outcome(entry: AuditEntry, partitions: int, released: Collection[str]) -> str:
    applied = set(entry.partitions)
    parts = [f"applied in {len(applied)} of {partitions}"]
    ids = dict.fromkeys((entry.command or {}).get("event_ids") or ())
    if ids:
        unheld = [i for i in ids if i not in released]
        parts = [f"{len(ids) - len(unheld)} of {len(ids)} learnt", *parts]
        entry.notes += [f"not held: {i}" for i in unheld[:IDS_SHOWN]]
    if entry.refused:
        parts.append(f"refused in {len(entry.refused)}")
    unanswered = partitions - len(applied | set(entry.refused))
    if unanswered:
        parts.append(f"no answer from {unanswered}")
    return ", ".join(parts)


def _change(change: Row) -> AuditEntry:
    return AuditEntry(
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
    if change["to_state"] == MUTED:
        evidence = change["evidence"] or {}
        return f"alerts muted until {evidence['until']}: {', '.join(evidence['rules']) or 'all'}"
    if change["model"] == LETTERS:
        return f"{len(change['evidence']['letters']):,} dead letters {change['to_state']}"
    whose = change["model"] + (f" of {change['segment']}" if change["segment"] else "")
    before = f"{change['from_state']} → " if change["from_state"] else ""
    return f"{whose}: {before}{change['to_state']}"


def _definitions(rows: Iterable[Row]) -> Iterable[AuditEntry]:
    seen = set()
    for row in rows:
        if row["definition"] not in seen:
            seen.add(row["definition"])
            yield AuditEntry(
                time=row["time"],
                kind="definition",
                what=f"definition {row['definition']} published",
                who="riverrun",
                why=f"{row['file']}, {row['runtime']}",
                cause="definition",
                evidence={name: row[name] for name in ("python", "river", "riverrun")},
            )


def _redefined(rows: Iterable[Row], begun: Sequence[Row], partitions: int) -> Iterable[AuditEntry]:
    entries: dict[tuple[str, ...], AuditEntry] = {}
    for row in rows:
        redefinition = row["redefined"]
        key = (
            row["definition"],
            redefinition["before"],
            redefinition["how"],
            redefinition["who"],
            redefinition["why"],
        )
        entry = entries.get(key)
        if entry is None:
            entry = entries[key] = AuditEntry(
                time=row["time"],
                kind="redefinition",
                what=f"definition {redefinition['before']} → {row['definition']} "
                f"({redefinition['how']})",
                who=redefinition["who"],
                why=redefinition["why"],
                cause="operator",
            )
            entry.notes = _begun(
                begun, f"definition {row['definition']} was begun ({redefinition['how']})"
            )
        entry.partitions = sorted({*entry.partitions, row["partition"]})
        entry.outcome = f"begun in {len(entry.partitions)} of {partitions}"
    return entries.values()


def _begun(begun: Iterable[Row], why: str) -> list[str]:
    """Return how each model began under a definition: kept, warmed or untrained."""
    learnt: dict[tuple[str, str, str], int] = {}
    for change in begun:
        if change["why"].startswith(why):
            key = change["model"], change["evidence"]["begun"], change["to_state"]
            learnt[key] = learnt.get(key, 0) + change["evidence"]["learnt"][change["model"]]
    words = {"kept": "is kept", "warmed": "is warmed", "fresh": "starts over"}
    return [
        f"{model} {words[how]}, {state}, {count:,} learnt"
        for (model, how, state), count in sorted(learnt.items())
    ]


def _verdicts(rows: Iterable[Row]) -> Iterable[AuditEntry]:
    """Return one entry each time a verdict changed, and each time a rule acted on it."""
    verdicts: dict[tuple[Any, ...], str] = {}
    for row in rows:
        key = tuple(row[name] for name in ("question", "model", "against", "segment"))
        if verdicts.get(key, "undecided") == row["verdict"] and row["command_id"] is None:
            continue
        verdicts[key] = row["verdict"]
        yield AuditEntry(
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
