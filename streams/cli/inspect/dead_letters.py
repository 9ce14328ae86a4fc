"""`riverrun dead-letters`: what was refused; look at it, send it again, dismiss it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from models.spec.personal_data import Masking, masking_of
from models.spec.use_case import UseCase
from schemas.errors import ConfigError, Skipped
from schemas.printable import printable
from streams.cli.shared.options import AsJson, Prefix, Reveal, UseCaseName, Who, Why, login_or
from streams.cli.shared.terminal import TerminalTable, as_json, data, talk
from streams.config.settings import Settings
from streams.config.use_case_loader import load
from streams.embedded.server_discovery import running
from streams.inspection.tail import filter_of
from streams.operations.dead_letter_states import (
    DISMISSED,
    REDRIVEN,
    REOPENED,
    STATES,
    actions_on,
    applied_of,
    record_letters,
    states_of,
)
from streams.operations.dead_letters import ATTEMPTS_MAX, Letter, Redriven, cause_of, letters
from streams.operations.dead_letters import redrive as send_again
from streams.operations.reveal import masking_for
from streams.topics.topic_admin import names_of, partitions_of

dead_letters = typer.Typer(
    name="dead-letters",
    no_args_is_help=True,
    help="Records that could not be used: inspect, send again, dismiss.",
)

ErrorClass = Annotated[str | None, typer.Option("--class", help="Only letters of this class.")]
Where = Annotated[
    list[str] | None,
    typer.Option(metavar="CONDITION", help="Only letters that match; may be repeated."),
]
Positions = Annotated[
    list[str] | None,
    typer.Argument(metavar="[POSITION]...", help="As `list` shows them: partition/offset."),
]


@dead_letters.command("list")
def list_letters(
    usecase: UseCaseName,
    error_class: ErrorClass = None,
    state: Annotated[
        str | None, typer.Option(help=f"Only letters in this state: {', '.join(STATES)}.")
    ] = None,
    where: Where = None,
    limit: Annotated[int, typer.Option(min=1, help="The newest N.")] = 20,
    reveal: Reveal = None,
    prefix: Prefix = None,
    json: AsJson = False,
) -> None:
    """List records that could not be used: the number by cause, and the newest by their positions.

    A letter is open, sent again, resolved (the record was accepted, or its outcome released) or
    dismissed. Conditions are those of `riverrun tail`, on what `show` prints. Example:
    `riverrun dead-letters list flight_eta --class malformed --where "error contains weight"`
    """
    use_case, settings, names = _opened(usecase, prefix)
    topic = names["dead-letter"]
    masking = masking_for(use_case, settings, why=reveal, subject=topic)
    if state not in (None, *STATES):
        raise typer.BadParameter(f"{state!r} is not a state; choose from {', '.join(STATES)}")
    matches = [
        (letter, shown)
        for letter, shown in _matching(use_case, settings, (), error_class, where, masking)
        if state in (None, shown["state"])
    ]
    states = Counter(str(shown["state"]) for _, shown in matches)
    classes = Counter(letter.body["error_class"] for letter, _ in matches)
    causes = _causes(shown for _, shown in matches)
    newest = sorted((shown for _, shown in matches), key=lambda row: int(row["refused_ms"]))[
        -limit:
    ]
    if json:
        as_json({"classes": classes, "states": states, "causes": causes, "letters": newest})
        return
    _print_causes(causes)
    _print_letters(newest)
    for counted in (classes, states):
        talk.print(", ".join(f"{n:,} {word}" for word, n in counted.most_common()) or "none")


def _causes(letters: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the number of letters by cause, most frequent first, with the newest's position."""
    groups: dict[tuple[str, str], dict[str, Any]] = {}
    for shown in letters:
        cause = cause_of(shown["error"])
        group = groups.setdefault((shown["error_class"], cause), {"count": 0, "newest": None})
        group["count"] += 1
        group["newest"] = shown["position"]
    rows = [{"class": name, "cause": cause, **group} for (name, cause), group in groups.items()]
    return sorted(rows, key=lambda row: -row["count"])


def _print_causes(causes: Iterable[dict[str, Any]]) -> None:
    table = TerminalTable("count", "class", "cause", "such as", box=None)
    for row in causes:
        table.add_row(f"{row['count']:,}", row["class"], row["cause"], row["newest"])
    data.print(table)


def _print_letters(letters: Iterable[dict[str, Any]]) -> None:
    table = TerminalTable("position", "when", "class", "state", "from", "try", "error", box=None)
    for shown in letters:
        when = datetime.fromtimestamp(shown["refused_ms"] / 1000, UTC)
        source = f"{shown['topic']}[{shown['partition']}] {shown['offset']}"
        table.add_row(
            shown["position"],
            f"{when:%Y-%m-%d %H:%M:%S}",
            shown["error_class"],
            ": ".join(filter(None, (shown["state"], shown["note"]))),
            source,
            str(shown["attempt"]),
            shown["error"],
        )
    data.print(table)


@dead_letters.command()
def show(
    usecase: UseCaseName,
    position: Annotated[
        str, typer.Argument(metavar="POSITION", help="partition/offset, as listed.")
    ],
    reveal: Reveal = None,
    prefix: Prefix = None,
    json: AsJson = False,
) -> None:
    """Show one dead letter: what is wrong, where it came from, the original bytes.

    Example: `riverrun dead-letters show flight_eta 3/17`
    """
    use_case, settings, names = _opened(usecase, prefix)
    topic = names["dead-letter"]
    masking = masking_for(use_case, settings, why=reveal, subject=f"{topic} {position}")
    _, shown = _matching(use_case, settings, (position,), None, None, masking)[0]
    if json:
        as_json(shown)
        return
    for name, value in shown.items():
        data.print(f"{name:14} {printable(str(value))}")


@dead_letters.command()
def redrive(
    usecase: UseCaseName,
    positions: Positions = None,
    everything: Annotated[bool, typer.Option("--all", help="All that are open.")] = False,
    error_class: ErrorClass = None,
    where: Where = None,
    attempts_max: Annotated[
        int, typer.Option("--attempts", min=1, help="Leave letters that were sent again N times.")
    ] = ATTEMPTS_MAX,
    why: Why = "sent again",
    who: Who = None,
    prefix: Prefix = None,
    json: AsJson = False,
) -> None:
    """Send the original bytes to the original topic again, once the cause is fixed.

    --all can be narrowed by --class and --where, and leaves records that were set aside (`riverrun
    skip`), unless --class skipped names them. Letters that are not open, or were sent again
    --attempts times (a header carries the count), are left. Exit code 1 if some were left. Example:
    `riverrun dead-letters redrive flight_eta --all --class malformed`
    """
    use_case, settings, names = _opened(usecase, prefix)
    chosen, done = (
        _chosen(use_case, settings, positions, everything, error_class, where),
        Redriven(),
    )
    done.left = {
        letter.position: f"it is {shown['state']}: {shown['note']}"
        for letter, shown in chosen
        if shown["state"] != "open"
    }
    if everything and error_class is None:
        # It would halt its partition again unless the code was fixed: a person has to say so.
        done.left |= {
            letter.position: "`apply` failed on it; once that is fixed, give --class skipped"
            for letter, _ in chosen
            if letter.error_class == Skipped.fault
        }
    open_ones = [letter for letter, _ in chosen if letter.position not in done.left]
    sent = asyncio.run(send_again(open_ones, settings, names, attempts_max=attempts_max))
    done.sent, done.left = sent.sent, done.left | sent.left
    if sent.records:
        by = {"who": login_or(who), "why": why}
        asyncio.run(record_letters(use_case, settings, REDRIVEN, sent.records, **by))
    _report("sent again", done.sent, done.left, json)


@dead_letters.command()
def dismiss(
    usecase: UseCaseName,
    why: Why,
    positions: Positions = None,
    everything: Annotated[bool, typer.Option("--all", help="All that are open.")] = False,
    error_class: ErrorClass = None,
    where: Where = None,
    who: Who = None,
    prefix: Prefix = None,
    json: AsJson = False,
) -> None:
    """Mark letters as needing no action; they stay on their topic.

    Example:
    `riverrun dead-letters dismiss flight_eta --all --class late --why "the producer replayed May"`
    """
    use_case, settings, _ = _opened(usecase, prefix)
    chosen = _chosen(use_case, settings, positions, everything, error_class, where)
    reasons = {letter.position: "" for letter, shown in chosen if shown["state"] != "dismissed"}
    by = {"who": login_or(who), "why": why}
    asyncio.run(record_letters(use_case, settings, DISMISSED, reasons, **by))
    _report("dismissed", list(reasons), {}, json)


@dead_letters.command()
def reopen(
    usecase: UseCaseName,
    positions: Annotated[
        list[str], typer.Argument(metavar="POSITION...", help="As `list` shows them.")
    ],
    why: Why,
    who: Who = None,
    prefix: Prefix = None,
    json: AsJson = False,
) -> None:
    """Open letters again that were dismissed, or sent again to no effect.

    Example: `riverrun dead-letters reopen flight_eta 3/17 --why "it was no replay"`
    """
    use_case, settings, _ = _opened(usecase, prefix)
    chosen = _chosen(use_case, settings, positions, False, None, None)
    reasons = {letter.position: "" for letter, _ in chosen}
    by = {"who": login_or(who), "why": why}
    asyncio.run(record_letters(use_case, settings, REOPENED, reasons, **by))
    _report("opened again", list(reasons), {}, json)


def _chosen(
    use_case: UseCase,
    settings: Settings,
    positions: list[str] | None,
    everything: bool,
    error_class: str | None,
    where: list[str] | None,
) -> list[tuple[Letter, dict[str, Any]]]:
    """Return the named letters, or all open ones."""
    if bool(positions) == everything:
        raise typer.BadParameter("give positions, or --all")
    masking = masking_of(use_case)
    matches = _matching(use_case, settings, tuple(positions or ()), error_class, where, masking)
    return [each for each in matches if positions or each[1]["state"] == "open"]


def _report(action: str, done: Sequence[str], left: Mapping[str, str], json: bool) -> None:
    if json:
        as_json({"sent" if action == "sent again" else "done": done, "left": left})
    else:
        data.print(f"{len(done):,} {action}")
        for position, reason in left.items():
            talk.print(f"{position} was left: {reason}")
    if left:
        raise typer.Exit(1)


def _opened(usecase: str, prefix: str | None) -> tuple[UseCase, Settings, dict[str, str]]:
    settings = running(Settings.load(riverrun_topic_prefix=prefix))
    use_case = load(usecase).use_case
    return use_case, settings, names_of(use_case, settings)


def _matching(
    use_case: UseCase,
    settings: Settings,
    positions: Sequence[str],
    error_class: str | None,
    where: Sequence[str] | None,
    masking: Masking,
) -> list[tuple[Letter, dict[str, Any]]]:
    """Return letters as they are shown, the state included; conditions test that."""
    tests, names = [filter_of(text) for text in where or ()], names_of(use_case, settings)
    topic = names["dead-letter"]

    async def read() -> list[tuple[Letter, dict[str, Any]]]:
        every = [letter async for letter in letters(topic, settings)]
        acts = await actions_on(settings, names)
        count = await partitions_of(use_case, settings) if acts.sent else 0
        states = states_of(every, acts, await applied_of(settings, names, count))
        matches = []
        for letter in every:
            if positions and letter.position not in positions:
                continue
            if error_class not in (None, letter.error_class):
                continue
            shown = letter.as_json(masking) | states[letter.position]._asdict()
            row = {"key": shown["key"], "value": shown}
            if all(test(row) for test in tests):
                matches.append((letter, shown))
        return matches

    matches = asyncio.run(read())
    missing = set() if where else set(positions) - {letter.position for letter, _ in matches}
    if missing:
        raise ConfigError(
            f"{topic} has no record at {', '.join(sorted(missing))}.",
            hint="`riverrun dead-letters list` shows the positions.",
        )
    return matches
