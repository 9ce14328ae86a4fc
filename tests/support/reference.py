"""The reference that is written from the code: commands, settings, tables. `make golden` writes it.

    python -P -m tests.support.reference

A test holds that what stands in docs/reference is what this writes.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import typer.main

from schemas.topics import CATALOGUE
from streams.cli import app
from streams.cli.shared.terminal import EXIT_CODES
from streams.config.settings import Settings
from streams.telemetry.prometheus import METRICS

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
WRITTEN = "<!-- Written by `make golden` from the code: change it there. -->"
BEGINNING = """\
All have `--help`. What reports has `--json`: one document on stdout, nothing else there. Data goes
to stdout, talk to stderr. `NO_COLOR` is heard, a misspelt command is answered with the right one.
`riverrun --install-completion` teaches your shell to complete commands, options and use cases."""
WHENCE = """\
A value comes from a flag, else the environment, else `.env`, else `riverrun.toml` (same names,
lower case). Secrets can come from a file: the name with `_FILE`. Whatever a prediction depends on
is in the [use case](USECASE.md) and not here."""
MADE_EVERYWHERE = {"--help", "--install-completion", "--show-completion"}
EXAMPLE = re.compile(r"\s*Example:\s+`(riverrun [^`]+)`\.?", re.DOTALL)


def written() -> dict[Path, str]:
    """Every page that the code decides, wholly or in one table, as it should be."""
    return {
        REFERENCE / "COMMANDS.md": commands_page(),
        REFERENCE / "SETTINGS.md": settings_page(),
        REFERENCE / "METRICS.md": with_table("METRICS.md", metrics()),
        REFERENCE / "TOPICS.md": with_table("TOPICS.md", topics()),
    }


# Commands.


def commands_page() -> str:
    """Every command, in the order of its name."""
    codes = table(["code", "meaning"], ([str(code), words] for code, words in EXIT_CODES.items()))
    parts = [
        "# Commands",
        WRITTEN,
        BEGINNING,
        table(["command", "what it does"], (index(name, each) for name, each in commands())),
        "## Exit codes",
        codes,
        "A worker's own are in [OPERATIONS](../how-to/OPERATIONS.md#exit-codes-of-a-worker).",
        *(command(name, each) for name, each in commands()),
    ]
    return "\n\n".join(parts) + "\n"


def index(name: str, each: Any) -> list[str]:
    """A command's row in the list of all: a link to it, and the first sentence of its help."""
    first = inspect.cleandoc(each.help or "").partition("\n\n")[0].replace("\n", " ")
    return [f"[`{name}`](#riverrun-{name.replace(' ', '-')})", first]


@cache
def tree() -> Any:
    """Return the group of all commands, as click has it; it takes a second to make."""
    return typer.main.get_command(app)


def commands() -> Iterator[tuple[str, Any]]:
    """Each command by its full name."""

    def inside(group: Any, before: str) -> Iterator[tuple[str, Any]]:
        for name, each in group.commands.items():
            if hasattr(each, "commands"):
                yield from inside(each, f"{before}{name} ")
            elif not each.hidden:
                yield before + name, each

    return iter(sorted(inside(tree(), "")))


def command(name: str, each: Any) -> str:
    """One command: what it does, how it is called, its options, an example."""
    words = inspect.cleandoc(each.help or "")
    example = EXAMPLE.search(words)
    words = EXAMPLE.sub("", words).strip()
    places = [p for p in each.params if p.param_type_name == "argument"]
    options = [
        p
        for p in each.params
        if p.param_type_name == "option" and not set(p.opts) & MADE_EVERYWHERE
    ]
    parts = [f"## `riverrun {name}`", words]
    rows = [[f"`{usage_of(p)}`", "", words_of(p)] for p in places]
    rows += [[f"`{spelt(p)}`", default_of(p), words_of(p)] for p in options if not p.hidden]
    if rows:
        parts.append(table(["argument or option", "default", "what it is"], rows))
    if example:
        parts.append(f"```sh\n{' '.join(example[1].split())}\n```")
    return "\n\n".join(parts)


def usage_of(argument: Any) -> str:
    """An argument as it stands in the usage."""
    name = str(argument.metavar or argument.name.upper()).replace("|", "\\|")
    if argument.nargs < 0 and not name.endswith("..."):
        name += "..."
    return name if argument.required or name.startswith("[") else f"[{name}]"


def spelt(option: Any) -> str:
    """An option with its other spellings."""
    names = ", ".join([*option.opts, *option.secondary_opts])
    if option.is_flag:
        return names
    return f"{names} {value_of(option)}"


def value_of(option: Any) -> str:
    """What an option takes, in capitals, or its choices."""
    annotation = option.type_descriptor.annotation
    if get_origin(annotation) is Literal:
        return "\\|".join(get_args(annotation))
    short = {int: "N", float: "NUMBER", Path: "PATH", datetime: "TIME"}.get(annotation, "TEXT")
    return str(option.metavar or short).replace("|", "\\|")


def default_of(option: Any) -> str:
    """What holds where it is not given; empty where that is nothing, or no."""
    if option.required:
        return "required"
    if option.default in (None, False, "", (), []) or callable(option.default):
        return ""
    return f"`{getattr(option.default, 'value', option.default)}`"


def words_of(param: Any) -> str:
    """Its help in one line that a table can hold."""
    return " ".join((param.help or "").split()).replace("|", "\\|")


# Settings, metrics, topics.


def settings_page() -> str:
    """Every setting by the name that people set."""
    rows = [
        [f"`{name.upper()}`", setting_default(field.default), field.description]
        for name, field in Settings.model_fields.items()
    ]
    parts = [
        "# Settings",
        WRITTEN,
        WHENCE,
        table(["variable", "default", "what it is"], rows),
    ]
    return "\n\n".join(parts) + "\n"


def setting_default(default: Any) -> str:
    """A default as people would write it."""
    return {None: "none", "": "empty"}.get(default) or f"`{default}`"


def metrics() -> str:
    """Every metric of a worker."""
    rows = [
        [f"`{m.name}`", m.type, ", ".join(f"`{label}`" for label in m.labels), m.help]
        for m in METRICS.values()
    ]
    return table(["metric", "type", "labels", "what it is"], rows)


def topics() -> str:
    """Every topic of a use case."""
    ours: Mapping[str, str] = {
        "events": "the use case's event",
        "outcomes": "the use case's outcome",
        "history": "event or outcome",
    }
    rows = [
        [f"`{t.kind}`", t.direction, ours.get(t.kind, t.record.__name__), t.key, t.cleanup, t.about]
        for t in CATALOGUE
    ]
    return table(["kind", "direction", "record", "key", "cleanup", "about"], rows)


# Pages.


def table(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def with_table(name: str, new: str) -> str:
    """A page with the table of the same head put in the place of the one it has."""
    text = (REFERENCE / name).read_text("utf-8")
    head = new.partition("\n")[0]
    start = text.index(head)
    end = text.index("\n\n", start)
    return text[:start] + new + text[end:]


def main() -> None:
    """Write what differs."""
    for path, text in written().items():
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")
            sys.stdout.write(f"{path}\n")


if __name__ == "__main__":
    main()
