"""`riverrun verify` and `riverrun explain`: predictions derived again, and one event's life."""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from schemas.errors import Misdeclared, RiverrunError
from streams.cli.options import AsJson, Prefix, Reveal, Trust, UseCaseName
from streams.cli.progress import Progress
from streams.cli.terminal import as_json, data, talk
from streams.loading import Loaded, load
from streams.processes import reexec_if_unsafe
from streams.servers import running
from streams.settings import Settings
from streams.topics import names_of

if TYPE_CHECKING:
    from streams.life import Life
    from streams.verification import Verified

DIFFERENT, UNPROVABLE = 1, 6
SAMPLE = 100


def register(app: typer.Typer) -> None:
    """Add this file's command."""
    app.command()(verify)
    app.command()(explain)


def verify(
    usecase: UseCaseName,
    event_id: Annotated[
        str | None, typer.Argument(metavar="[EVENT_ID]", help="Only this event's prediction.")
    ] = None,
    sample: Annotated[
        int | None, typer.Option(min=1, help=f"So many, drawn evenly. Default: {SAMPLE}.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every prediction there is.")] = False,
    seed: Annotated[int | None, typer.Option(help="Draws the same sample again.")] = None,
    trust: Trust = None,
    prefix: Prefix = None,
    json: AsJson = False,
) -> None:
    """Derive predictions again from the log, in a fresh process without Redis, and compare.

    Every field is compared to the last bit. Exit code 1 on any difference, the first of which is
    named with its place in the journal; 6 where it cannot be proved, since the definition, the log
    or the versions are not to be had any more. Example: `riverrun verify flight_eta --sample 500`
    """
    if (event_id is not None) + (sample is not None) + everything > 1:
        raise typer.BadParameter("give one of EVENT_ID, --sample and --all")
    reexec_if_unsafe(["-m", "streams.cli", *sys.argv[1:]])
    from streams.starting import starts_of
    from streams.verification import Verifier  # River comes with it, which takes seconds

    settings = running(Settings.load(riverrun_topic_prefix=prefix))
    progress = Progress("journal entries derived")
    loaded = load(usecase)
    verifier = Verifier(
        settings,
        names_of(loaded.use_case, settings),
        starts=starts_of(loaded, settings),
        on_progress=progress,
        trusted=_trusted(loaded, trust),
    )
    seed = random.randrange(2**32) if seed is None else seed
    if everything:
        work = verifier.every()
    elif event_id is not None:
        work = verifier.one(event_id)
    else:
        work = verifier.sample(sample or SAMPLE, seed)
    found = asyncio.run(work)
    progress.done()
    if json:
        as_json(_result(usecase, found, None if everything or event_id else seed))
    else:
        _print(found)
    if found.different:
        raise typer.Exit(DIFFERENT)
    if not found.proved:
        raise typer.Exit(UNPROVABLE)


def _trusted(loaded: Loaded, files: list[Path] | None) -> list[str]:
    try:
        return [loaded.source, *(file.read_text("utf-8") for file in files or ())]
    except OSError as error:
        raise Misdeclared(f"{error.filename} cannot be read: {error.strerror}.") from error


def _result(usecase: str, found: Verified, seed: int | None) -> dict[str, Any]:
    return {"use_case": usecase, "seed": seed, **found.as_json()}


def _print(found: Verified) -> None:
    data.print(
        f"checked {found.checked:,}  different {found.different:,}  "
        f"cannot prove {found.unproven:,}  ({found.entries:,} journal entries derived)"
    )
    if found.first is not None:
        data.print(f"first difference: {found.first}", style="red", markup=False)
    for reason in found.reasons:
        talk.print(f"cannot prove: {reason}", style="yellow", markup=False)
    if found.versions and found.proved:
        talk.print(f"the same, although with {'; '.join(found.versions)}", markup=False)


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
    """Tell one event's life: raw, features, prediction, model, outcome, and what it taught.

    What no topic holds, the models before and after they learnt from it, is derived again from the
    log. Exit code 1 if nothing is known of the event. Example:
    `riverrun explain flight_eta UA1545-EWR-20130101-0515`
    """
    reexec_if_unsafe(["-m", "streams.cli", *sys.argv[1:]])
    from streams.life import Biographer
    from streams.revealing import masking_for
    from streams.starting import starts_of

    settings = running(Settings.load(riverrun_topic_prefix=prefix))
    loaded = load(usecase)
    progress = Progress("journal entries derived")
    names = names_of(loaded.use_case, settings)
    starts = starts_of(loaded, settings)
    trusted = _trusted(loaded, trust)
    search = Progress("offsets of a topic looked through")
    biographer = Biographer(
        settings, names, starts, on_progress=progress, on_search=search, trusted=trusted
    )
    life = asyncio.run(biographer.of(event_id, derive=not brief))
    search.done()
    progress.done()
    if not life.known:
        raise RiverrunError(
            f"nothing is known of {event_id!r} under {names['events']}. Is the id right, and the "
            "--prefix?"
        )
    what = f"the life of event {event_id}"
    life = life.masked(masking_for(loaded.use_case, settings, why=reveal, what=what))
    if json:
        as_json(asdict(life))
    else:
        _page(life)


def _page(life: Life) -> None:
    if life.event is not None:
        body = life.event["value"]
        _section(f"Event {life.event_id}", f"{_at(life.event)}")
        _fields({name: value for name, value in body.items() if name != "event_id"})
    if life.features is not None:
        _section("Features", "what the models saw")
        _fields(life.features)
    if life.prediction is not None:
        _prediction(life, life.prediction)
    elif life.example is not None and life.example["source"] == "history":
        _section("Prediction", "none; it was backfilled: learnt, not answered")
    elif life.event is not None:
        _section("Prediction", "none; it was not answered")
    for letter in life.dead_letters:
        _section("Dead letter", f"{letter['stage']} at {letter['topic']}[{letter['partition']}]")
        data.print(f"  {letter['error_class']}: {letter['error']}", markup=False)
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
    if life.unproven is not None:
        talk.print(f"\ncannot prove: {life.unproven}", style="yellow", markup=False)


def _prediction(life: Life, said: Mapping[str, Any]) -> None:
    _section("Prediction", f"{_shown(said['value'])} by {said['answered_by']}: {said['reason']}")
    shown = {"model": said["model"], "segment": said["segment"]}
    shown["journal"] = f"partition {said['partition']}, entry {said['seq']}, step {said['step']}"
    for name in ("interval", "classes", "probabilities"):
        shown[name] = said.get(name)
    shown |= {f"{name} would say": value for name, value in said["shadows"].items()}
    if life.answered_ms is not None:
        shown["answered after"] = f"{life.answered_ms} ms"
    if life.proved is not None:
        shown["derived again"] = "the same to the last bit" if life.proved else "DIFFERENT"
    if life.first_difference is not None:
        name, was, again = life.first_difference
        shown["difference"] = f"{name}: {was} on the topic, {again} derived again"
    _fields(shown)
    if said.get("contributions"):
        _section("Because", f"{_shown(said['reference'])} to begin with")
        _fields({n: f"{v:+.4g}" for n, v in said["contributions"].items()}, width=24)
        _fields({"all others": f"{said['rest']:+.4g}"}, width=24)
    elif life.sampled is not None:
        _sampled(life.sampled)


def _sampled(found: Mapping[str, Any]) -> None:
    start, rounds = _shown(found["reference"]), found["rounds"]
    _section("Because", f"{start} to begin with; sampled, {rounds} rounds, ± a standard error")
    _fields(
        {n: f"{v:+.4g} ± {found['errors'][n]:.2g}" for n, v in found["contributions"].items()},
        width=24,
    )


def _example(example: Mapping[str, Any]) -> None:
    how = "learnt" if example["learnt"] else "too late to be learnt"
    _section("Label", f"{_shown(example['label'])}, {how} (source: {example['source']})")
    names = ("said", "baseline", "delay_s", "weight", "kpi", "step")
    _fields({name: example[name] for name in names})


def _lesson(lesson: Mapping[str, Any]) -> None:
    segment = "" if lesson["segment"] is None else f" of {lesson['segment']}"
    _section(f"Step of {lesson['model']}{segment}", f"it is now {lesson['version']}")
    said = f"{_shown(lesson['before'])} → {_shown(lesson['after'])}"
    _fields({"same features": said, "label": lesson["label"]})
    for weight in lesson["weights"] or ():
        before, after = weight["before"], weight["after"]
        _fields({weight["name"]: f"{before:+.5g} → {after:+.5g}"}, width=24)


def _section(title: str, text: str) -> None:
    data.print(f"\n[bold]{escape(title)}[/]  {escape(text)}")


def _fields(fields: Mapping[str, Any], width: int = 16) -> None:
    for name, value in fields.items():
        if value is not None:
            data.print(f"  {name:{width}} {_shown(value)}", markup=False)


def _at(record: Mapping[str, Any]) -> str:
    return f"{record['topic']}[{record['partition']}] offset {record['offset']}"


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        return f"[{', '.join(map(_shown, value))}]"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_shown(inner)}" for name, inner in value.items())
    return str(value)
