"""`riverrun explain`: the history of one event."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from schemas.errors import RiverrunError
from schemas.printable import printable
from streams.cli.shared.options import AsJson, Prefix, Reveal, Trust, UseCaseName, trusted_sources
from streams.cli.shared.progress import ProgressLine
from streams.cli.shared.terminal import DIFFERENT, UNPROVABLE, as_json, data, talk
from streams.config.process_env import reexec_if_unsafe
from streams.config.settings import Settings
from streams.config.use_case_loader import load
from streams.embedded.server_discovery import running
from streams.topics.topic_admin import names_of

if TYPE_CHECKING:
    from streams.inspection.event_history import Life


def explain(
    usecase: UseCaseName,
    event_id: Annotated[str, typer.Argument(metavar="EVENT_ID", help="As the event has it.")],
    reveal: Reveal = None,
    brief: Annotated[
        bool, typer.Option("--brief", help="Only what the topics hold: quicker, nothing derived.")
    ] = False,
    trust: Trust = None,
    prefix: Prefix = None,
    json: AsJson = False,
) -> None:
    """Show one event's history: raw, features, prediction, model, outcome, and what was learnt.

    The models before and after they learnt from it are derived again from the log, as no topic
    holds them. Exit code 1 if the event is unknown or a difference was detected, 6 if it cannot be
    proved. Example:
    `riverrun explain flight_eta UA1545-EWR-20130101-0515`
    """
    reexec_if_unsafe(["-m", "streams.cli", *sys.argv[1:]])
    from streams.inspection.event_history import EventHistory
    from streams.operations.reveal import masking_for
    from streams.replay.archived_states import starts_of

    settings = running(Settings.load(riverrun_topic_prefix=prefix))
    loaded = load(usecase)
    progress = ProgressLine("journal entries derived")
    names = names_of(loaded.use_case, settings)
    starts = starts_of(loaded, settings)
    trusted = trusted_sources(loaded, trust)
    search = ProgressLine("offsets of a topic looked through")
    history = EventHistory(
        settings,
        names,
        loaded.use_case,
        starts,
        on_progress=progress,
        on_search=search,
        trusted=trusted,
    )
    life = asyncio.run(history.of(event_id, derive=not brief))
    search.done()
    progress.done()
    if not life.known:
        raise RiverrunError(
            f"There is no event {event_id!r} on {names['events']}. Check the id and --prefix."
        )
    subject = f"the history of event {event_id}"
    life = life.masked(masking_for(loaded.use_case, settings, why=reveal, subject=subject))
    if json:
        as_json(asdict(life))
    else:
        _page(life)
    if life.proved is False:
        raise typer.Exit(DIFFERENT)
    if life.unproven is not None:
        raise typer.Exit(UNPROVABLE)


def _page(life: Life) -> None:
    if life.event is not None:
        body = life.event["value"]
        _section(f"Event {life.event_id}", f"{_at(life.event)}")
        _fields({name: value for name, value in body.items() if name != "event_id"})
    if life.features is not None:
        _section("Features", "inputs of the models")
        _fields(life.features)
    if life.prediction is not None:
        _prediction(life, life.prediction)
    elif life.example is not None and life.example["source"] == "history":
        _section("Prediction", "none; it was backfilled: learnt, not predicted")
    elif life.event is not None:
        _section("Prediction", "none")
    for letter in life.dead_letters:
        _section("Dead letter", f"{letter['stage']} at {letter['topic']}[{letter['partition']}]")
        data.print(f"  {letter['error_class']}: {printable(letter['error'])}")
    if life.outcome is not None:
        _section("Outcome", _at(life.outcome))
        body = life.outcome["value"]
        _fields({name: value for name, value in body.items() if name != "event_id"})
    elif life.prediction is not None and life.example is None:
        _section("Outcome", "none yet")
    if life.example is not None:
        _example(life.example)
    for lesson in life.learnt:
        _lesson(lesson)
    if life.proved and not life.learnt and (life.example or {}).get("training"):
        data.print(
            "  its effect on the shared models is not known: the learner has not read it yet"
        )
    if life.unproven is not None:
        talk.print(f"\ncannot prove: {life.unproven}", style="yellow")


def _prediction(life: Life, prediction: Mapping[str, Any]) -> None:
    _section(
        "Prediction",
        f"{_shown(prediction['value'])} by {prediction['served_by']}: {prediction['reason']}",
    )
    shown = {"model": prediction["model"], "segment": prediction["segment"]}
    shown["journal"] = (
        f"partition {prediction['partition']}, entry {prediction['seq']}, step {prediction['step']}"
    )
    for name in ("interval", "classes", "probabilities"):
        shown[name] = prediction.get(name)
    shown |= {f"{name} would say": value for name, value in prediction["shadows"].items()}
    if life.version is not None:
        version = life.version
        shown["version"] = (
            f"record {version['number']} of `models`, at offset {version['offset']}: learnt from "
            f"{version['trained_on']:,} examples of all partitions"
        )
    if life.answered_ms is not None:
        shown["answered after"] = f"{life.answered_ms} ms"
    if life.proved is not None:
        shown["derived again"] = "the same to the last bit" if life.proved else "DIFFERENT"
    if life.first_difference is not None:
        name, was, again = life.first_difference
        shown["difference"] = f"{name}: {was} on the topic, {again} derived again"
    _fields(shown)
    if prediction.get("contributions"):
        _section("Because", f"{_shown(prediction['reference'])} reference")
        _fields({n: f"{v:+.4g}" for n, v in prediction["contributions"].items()}, width=24)
        _fields({"all others": f"{prediction['rest']:+.4g}"}, width=24)
    elif life.sampled is not None:
        _sampled(life.sampled)


def _sampled(sampled: Mapping[str, Any]) -> None:
    start, rounds = _shown(sampled["reference"]), sampled["rounds"]
    _section("Because", f"{start} reference; sampled, {rounds} rounds, ± a standard error")
    _fields(
        {n: f"{v:+.4g} ± {sampled['errors'][n]:.2g}" for n, v in sampled["contributions"].items()},
        width=24,
    )


def _example(example: Mapping[str, Any]) -> None:
    how = "learnt" if example["learnt"] else "too late to be learnt"
    _section("Label", f"{_shown(example['label'])}, {how} (source: {example['source']})")
    names = ("prediction", "baseline", "delay_s", "weight", "kpi", "step")
    _fields({name: example[name] for name in names})


def _lesson(lesson: Mapping[str, Any]) -> None:
    segment = "" if lesson["segment"] is None else f" of {lesson['segment']}"
    _section(f"Step of {lesson['model']}{segment}", f"its version is now {lesson['version']}")
    predictions = f"{_shown(lesson['before'])} → {_shown(lesson['after'])}"
    _fields({"same features": predictions, "label": lesson["label"]})
    for weight in lesson["weights"] or ():
        before, after = weight["before"], weight["after"]
        _fields({weight["name"]: f"{before:+.5g} → {after:+.5g}"}, width=24)


def _section(title: str, text: str) -> None:
    data.print(Text.assemble("\n", (printable(title), "bold"), f"  {printable(text)}"))


def _fields(fields: Mapping[str, Any], width: int = 16) -> None:
    for name, value in fields.items():
        if value is not None:
            data.print(f"  {printable(name):{width}} {_shown(value)}")


def _at(record: Mapping[str, Any]) -> str:
    at = f"{record['topic']}[{record['partition']}] offset {record['offset']}"
    if (source := record.get("source")) is None:
        return at
    remark = "" if source["kept"] else ", which is no more (retention, or another topic)"
    return f"{at}, from {source['topic']}[{source['partition']}] offset {source['offset']}{remark}"


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        return f"[{', '.join(map(_shown, value))}]"
    if isinstance(value, dict):
        return ", ".join(f"{printable(name)} {_shown(inner)}" for name, inner in value.items())
    return printable(str(value))
