"""`riverrun tail` and `riverrun dead-letters`: what is on the topics, and what was refused."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import orjson
import typer
from rich.markup import escape
from rich.table import Table

from models.personal import Masking, masking_of
from models.usecase import UseCase
from schemas.errors import Misdeclared
from streams.cli.options import AsJson, Prefix, Reveal, UseCaseName
from streams.cli.terminal import as_json, data, talk
from streams.dead_letters import ATTEMPTS_MAX, Letter, cause_of, letters
from streams.dead_letters import redrive as send_again
from streams.loading import load
from streams.revealing import masking_for, owner_of
from streams.servers import running
from streams.settings import Settings
from streams.tailing import filter_of, masked_row
from streams.tailing import tail as rows
from streams.topics import names_of

dead_letters = typer.Typer(no_args_is_help=True, help="What could not be used: look, send again.")

ErrorClass = Annotated[str | None, typer.Option("--class", help="Only of this class.")]
Where = Annotated[
    list[str] | None, typer.Option(metavar="CONDITION", help="Only such; may be repeated.")
]
Places = Annotated[
    list[str] | None,
    typer.Argument(metavar="[PLACE]...", help="As `list` shows them: partition/offset."),
]


def register(app: typer.Typer) -> None:
    """Add this file's commands."""
    app.command()(tail)
    dead_letters.command("list")(list_letters)
    dead_letters.command()(show)
    dead_letters.command()(redrive)
    app.add_typer(dead_letters, name="dead-letters")


def tail(
    topic: Annotated[str, typer.Argument(metavar="TOPIC", help="Such as flight_eta.predictions.")],
    where: Annotated[
        list[str] | None,
        typer.Option(metavar="CONDITION", help="Only such: field > 3 and other = UA; repeatable."),
    ] = None,
    beginning: Annotated[
        bool, typer.Option("--from-beginning", help="Also what is there already.")
    ] = False,
    end: Annotated[bool, typer.Option("--to-end", help="Stop at what is the end now.")] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="Stop after so many.")] = None,
    usecase: Annotated[
        str | None, typer.Option(help="Whose topic it is, where its name does not tell.")
    ] = None,
    reveal: Reveal = None,
    prefix: Prefix = None,
    json: AsJson = False,
) -> None:
    """Print the records of a topic as they are committed, one JSON object a line.

    A condition compares fields (= != < <= > >= in contains) and joins them by and, or, not and
    parentheses; a dot leads into a record, `key` is its key. With --json each comes with its key,
    headers and place. Example:
    `riverrun tail flight_eta.predictions --where "segment = UA and value<0" --limit 5`
    """
    settings = running(Settings.load(riverrun_topic_prefix=prefix))
    tests = [filter_of(text) for text in where or ()]
    owned = owner_of(topic, settings, usecase)
    masking = masking_for(owned.use_case, settings, why=reveal, what=f"tail of {owned.topic}")
    found = rows(
        owned.topic,
        settings,
        tests,
        beginning=beginning,
        follow=not end,
        limit=limit,
        shown=lambda row: masked_row(row, owned.kind, masking),
    )
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        asyncio.run(_tail(found, json))


async def _tail(found: AsyncIterator[dict[str, Any]], json: bool) -> None:
    async for row in found:
        sys.stdout.write(orjson.dumps(row if json else row["value"]).decode() + "\n")
        sys.stdout.flush()


def list_letters(
    usecase: UseCaseName,
    error_class: ErrorClass = None,
    where: Where = None,
    limit: Annotated[int, typer.Option(min=1, help="The newest N.")] = 20,
    reveal: Reveal = None,
    prefix: Prefix = None,
    json: AsJson = False,
) -> None:
    """List what could not be used: how many of each cause, and the newest by their places.

    Conditions are as of `riverrun tail`, on what `show` shows. Example:
    `riverrun dead-letters list flight_eta --class malformed --where "error contains weight"`
    """
    use_case, settings, names = _place(usecase, prefix)
    topic = names["dead-letter"]
    masking = masking_for(use_case, settings, why=reveal, what=topic)
    found = _found(topic, settings, (), error_class, where, masking)
    classes = Counter(letter.body["error_class"] for letter, _ in found)
    causes = _causes(shown for _, shown in found)
    newest = sorted((shown for _, shown in found), key=lambda one: int(one["refused_ms"]))[-limit:]
    if json:
        as_json({"classes": classes, "causes": causes, "letters": newest})
        return
    _print_causes(causes)
    _print_letters(newest)
    talk.print(", ".join(f"{n:,} {word}" for word, n in classes.most_common()) or "none")


def _causes(letters: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """How many of each cause, the most frequent first, with the place of the newest."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for shown in letters:
        cause = cause_of(shown["error"])
        group = found.setdefault((shown["error_class"], cause), {"count": 0, "newest": None})
        group["count"] += 1
        group["newest"] = shown["place"]
    rows = [{"class": name, "cause": cause, **group} for (name, cause), group in found.items()]
    return sorted(rows, key=lambda row: -row["count"])


def _print_causes(causes: Iterable[dict[str, Any]]) -> None:
    table = Table("count", "class", "cause", "such as", box=None)
    for row in causes:
        table.add_row(f"{row['count']:,}", row["class"], escape(row["cause"]), row["newest"])
    data.print(table)


def _print_letters(letters: Iterable[dict[str, Any]]) -> None:
    table = Table("place", "when", "class", "from", "try", "error", box=None)
    for shown in letters:
        when = datetime.fromtimestamp(shown["refused_ms"] / 1000, UTC)
        source = f"{shown['topic']}[{shown['partition']}] {shown['offset']}"
        table.add_row(
            shown["place"],
            f"{when:%Y-%m-%d %H:%M:%S}",
            shown["error_class"],
            source,
            str(shown["attempt"]),
            escape(shown["error"]),
        )
    data.print(table)


def show(
    usecase: UseCaseName,
    place: Annotated[str, typer.Argument(metavar="PLACE", help="partition/offset, as listed.")],
    reveal: Reveal = None,
    prefix: Prefix = None,
    json: AsJson = False,
) -> None:
    """Show one dead letter: what is wrong, where it came from, the original bytes.

    Example: `riverrun dead-letters show flight_eta 3/17`
    """
    use_case, settings, names = _place(usecase, prefix)
    topic = names["dead-letter"]
    masking = masking_for(use_case, settings, why=reveal, what=f"{topic} {place}")
    _, shown = _found(topic, settings, (place,), None, None, masking)[0]
    if json:
        as_json(shown)
        return
    for name, value in shown.items():
        data.print(f"{name:14} {value}", markup=False)


def redrive(
    usecase: UseCaseName,
    places: Places = None,
    everything: Annotated[bool, typer.Option("--all", help="All that are listed.")] = False,
    error_class: ErrorClass = None,
    where: Where = None,
    attempts_max: Annotated[
        int, typer.Option("--attempts", min=1, help="Leave what was sent again so often.")
    ] = ATTEMPTS_MAX,
    prefix: Prefix = None,
    json: AsJson = False,
) -> None:
    """Send the original bytes to the original topic again, once their cause is mended.

    --all can be narrowed by --class and --where. What was sent again --attempts times (a header
    carries the count) is left. Exit code 1 if some could not be. Example:
    `riverrun dead-letters redrive flight_eta --all --class malformed`
    """
    if bool(places) == everything:
        raise typer.BadParameter("give places, or --all")
    use_case, settings, names = _place(usecase, prefix)
    masking, topic = masking_of(use_case), names["dead-letter"]
    found = _found(topic, settings, tuple(places or ()), error_class, where, masking)
    chosen = [letter for letter, _ in found]
    done = asyncio.run(send_again(chosen, settings, names, attempts_max=attempts_max))
    if json:
        as_json({"sent": done.sent, "left": done.left})
    else:
        data.print(f"{len(done.sent):,} sent again")
        for place, reason in done.left.items():
            talk.print(f"{place} was left: {reason}", markup=False)
    if done.left:
        raise typer.Exit(1)


def _place(usecase: str, prefix: str | None) -> tuple[UseCase, Settings, dict[str, str]]:
    settings = running(Settings.load(riverrun_topic_prefix=prefix))
    use_case = load(usecase).use_case
    return use_case, settings, names_of(use_case, settings)


def _found(
    topic: str,
    settings: Settings,
    places: Sequence[str],
    error_class: str | None,
    where: Sequence[str] | None,
    masking: Masking,
) -> list[tuple[Letter, dict[str, Any]]]:
    """Letters with what is shown of them; conditions see what is shown."""
    tests = [filter_of(text) for text in where or ()]

    async def read() -> list[tuple[Letter, dict[str, Any]]]:
        found = []
        async for letter in letters(topic, settings):
            if places and letter.place not in places:
                continue
            if error_class not in (None, letter.body["error_class"]):
                continue
            shown = letter.as_json(masking)
            row = {"key": shown["key"], "value": shown}
            if all(test(row) for test in tests):
                found.append((letter, shown))
        return found

    found = asyncio.run(read())
    missing = set() if where else set(places) - {letter.place for letter, _ in found}
    if missing:
        raise Misdeclared(
            f"{topic} has no record at {', '.join(sorted(missing))}.",
            mend="`riverrun dead-letters list` shows the places.",
        )
    return found
