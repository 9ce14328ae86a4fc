"""The documentation says what is there: links, paths, commands, fields, settings, tests."""

from __future__ import annotations

import ast
import inspect
import re
import shlex
from collections.abc import Iterator
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pytest

from models.features.window_declarations import Window, over_events, over_outcomes
from models.spec.label_fold import LabelFold
from models.spec.use_case import Contest, Kpi, Price, Promotion, Segments, UseCase
from schemas.errors import ConfigError, Incompatible, RiverrunError, Unavailable
from schemas.topics import CATALOGUE, Topic
from streams.cli.shared.terminal import EXIT_CODES, complain
from streams.config.settings import Settings
from streams.worker import worker_process
from tests.support.reference import tree, written

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"`([^`\n]+)`")
FOLDERS = (
    "schemas",
    "models",
    "riverrun",
    "streams",
    "usecases",
    "tests",
    "benchmarks",
    "deploy",
    "docs",
)
FAMILIES = ("KAFKA_", "REDIS_", "RIVERRUN_")
Rows = list[list[str]]


def page(name: str) -> str:
    """The text of a page."""
    return (ROOT / name).read_text("utf-8")


def prose(text: str) -> str:
    """A page without its fenced blocks."""
    return FENCE.sub("", text)


def section(text: str, heading: str) -> str:
    """What stands under a heading, up to the next one of its level or above."""
    match = re.search(rf"^(#+) {re.escape(heading)}$", text, re.MULTILINE)
    assert match, f"there is no heading {heading!r}"
    rest = text[match.end() :]
    end = re.search(rf"^#{{1,{len(match[1])}}} ", rest, re.MULTILINE)
    return rest[: end.start()] if end else rest


def tables(text: str) -> Iterator[Rows]:
    """The rows of each table, without heading and rule; cells as they are written."""
    for block in re.findall(r"(?:^\|.*\|$\n?)+", text, re.MULTILINE):
        rows = [[cell.strip() for cell in row[1:-1].split(" | ")] for row in block.splitlines()]
        yield [[cell.strip("| ") for cell in row] for row in rows[2:]]


def table(text: str) -> Rows:
    """The first table."""
    return next(tables(text))


def named(cell: str) -> str:
    """What a cell names in code: `x` is x."""
    return cell.strip("`")


def anchors(text: str) -> set[str]:
    """What a link may point to in a page."""
    headings = re.findall(r"^#+ (.*)$", prose(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


# Links and paths.


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(path: Path) -> None:
    """To a file that exists, and to a heading that it has."""
    for target in LINK.findall(prose(path.read_text("utf-8"))):
        if target.startswith(("https://", "mailto:")):
            continue
        name, _, anchor = target.partition("#")
        there = (path.parent / name).resolve() if name else path
        assert there.exists(), target
        if anchor:
            assert anchor in anchors(there.read_text("utf-8")), target


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_path_that_is_named_exists(path: Path) -> None:
    """Paths of this repository in code quotes: files, folders, and single tests in files."""
    for quoted in CODE.findall(prose(path.read_text("utf-8"))):
        name, _, test = quoted.partition("::")
        ours = name.startswith(tuple(f"{folder}/" for folder in FOLDERS))
        if not ours or " " in name or "my_case" in name:
            continue
        assert (ROOT / name).exists(), quoted
        if test:
            tree = ast.parse((ROOT / name).read_text("utf-8"))
            assert test in {getattr(node, "name", None) for node in ast.walk(tree)}, quoted


@pytest.mark.parametrize("path", [p for p in PAGES if p.parent.name == "explanation"])
def test_every_module_that_is_named_without_its_folder_exists(path: Path) -> None:
    """A short name, `delta.py`, is that of a file in this repository."""
    modules = {file.name for folder in FOLDERS for file in (ROOT / folder).rglob("*.py")}
    for quoted in CODE.findall(prose(path.read_text("utf-8"))):
        if re.fullmatch(r"\w+\.py", quoted):
            assert quoted in modules, quoted


# Commands.


def commands(group: Any = None, before: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Every command by its full name, as click has it."""
    for name, command in (group or tree()).commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*before, name))
        else:
            yield " ".join((*before, name)), command


COMMANDS = dict(commands())


def shown(text: str) -> Iterator[str]:
    """Each `riverrun …` of a page, in its blocks and in its sentences."""
    for _, block in FENCE.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            line = re.sub(r"\s#.*", "", line.strip().removeprefix("$ "))
            match = re.match(r"(?:\w+=\S+ )*(riverrun .*)", line)
            if match:
                yield re.split(r" [|>&]|;", match[1])[0]
    for line in re.findall(r"^    (riverrun .*)$", prose(text), re.MULTILINE):
        yield line
    for quoted in CODE.findall(prose(text).replace("\n", " ")):
        if quoted.startswith("riverrun "):
            yield quoted


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_that_is_shown_exists_with_its_options(path: Path) -> None:
    """No page shows a command, an option or an argument that riverrun would refuse."""
    for line in shown(path.read_text("utf-8")):
        words = shlex.split(line)[1:]
        size = 2 if " ".join(words[:2]) in COMMANDS else 1
        command = COMMANDS.get(" ".join(words[:size]))
        if command is None:
            group = words[:1] == words and any(c.startswith(f"{words[0]} ") for c in COMMANDS)
            assert group or words[0].startswith("-"), f"no such command: {line}"
            continue
        assert accepts(command, words[size:]), line


def accepts(command: Any, words: list[str]) -> bool:
    """Whether these are options and arguments of the command; missing arguments are let pass."""
    options = {o: p for p in command.params for o in (*p.opts, *p.secondary_opts)}
    room = [p for p in command.params if p.param_type_name == "argument"]
    places = sum(p.nargs if p.nargs > 0 else 100 for p in room)
    words = list(words)
    while words:
        word = words.pop(0)
        if word.startswith("-"):
            option = options.get(word)
            if option is None and word != "--help":
                return False
            if option is not None and not option.is_flag and words:
                words.pop(0)
        else:
            places -= 1
    return places >= 0


def test_a_wrong_option_would_be_found() -> None:
    """Else the test before this one would hold nothing."""
    assert accepts(COMMANDS["demo"], ["--events", "5000", "--json"])
    assert not accepts(COMMANDS["demo"], ["--evens", "5000"])
    assert not accepts(COMMANDS["demo"], ["5000"])


def test_every_command_is_in_the_list_of_commands() -> None:
    """The reference's first table has each, and no other; README's has some of them."""
    rows = table(page("docs/reference/COMMANDS.md"))
    assert [CODE.findall(row[0])[0] for row in rows] == sorted(COMMANDS)
    rows = table(section(page("README.md"), "Commands"))
    listed = {q.removeprefix("riverrun ") for row in rows for q in CODE.findall(row[0])}
    assert listed < {name.split()[0] for name in COMMANDS}


def test_every_command_has_an_example_that_works() -> None:
    """Its help ends in one, with options that it has."""
    for name, command in COMMANDS.items():
        match = re.search(r"Example:\s+`riverrun ([^`]+)`", command.help or "")
        assert match, name
        words = shlex.split(re.split(r" [|>]", match[1])[0])
        assert " ".join(words[: len(name.split())]) == name
        assert accepts(command, words[len(name.split()) :]), match[1]


def test_every_make_target_is_told_and_no_other() -> None:
    """CONTRIBUTING has a row for each target that `make help` lists; no page names another."""
    targets = set(re.findall(r"^([a-z-]+):.*##", page("Makefile"), re.MULTILINE)) - {"help"}
    rows = table(page("CONTRIBUTING.md"))
    assert {named(row[0]).removeprefix("make ") for row in rows} == targets
    for path in PAGES:
        for target in re.findall(r"(?:^|`)make ([a-z-]+)", path.read_text("utf-8"), re.MULTILINE):
            assert target in targets, f"{path.name}: make {target}"


# The use case.


@pytest.mark.parametrize("declared", [UseCase, Kpi, LabelFold, Segments, Contest, Promotion, Price])
def test_every_field_of_a_use_case_is_documented(declared: type[Any]) -> None:
    """In the order of the code, with its default."""
    rows = table(section(page("docs/reference/USECASE.md"), declared.__name__))
    assert [named(row[0]) for row in rows] == [field.name for field in fields(declared)]
    for row, field in zip(rows, fields(declared), strict=True):
        if field.default_factory is not MISSING:
            due = repr(field.default_factory())
        elif field.default is MISSING:
            due = "required"
        else:
            due = repr(field.default)
            due = (
                f"{type(field.default).__name__}()"
                if due.startswith(("Cont", "Fres", "Prom"))
                else due
            )
        assert named(row[1]).replace('"', "'") == due, row[0]


def test_every_argument_of_a_window_is_documented() -> None:
    """Those that make one, with their defaults, and those of each aggregate."""
    windows, aggregates = list(tables(section(page("docs/reference/USECASE.md"), "Windows")))
    for function in (over_events, over_outcomes):
        arguments = inspect.signature(function).parameters.values()
        assert [named(row[0]) for row in windows] == [argument.name for argument in arguments]
        for row, argument in zip(windows, arguments, strict=True):
            default = argument.default
            due = "required" if default is inspect.Parameter.empty else repr(default)
            assert named(row[1]) == due, row[0]
    methods = {name for name, _ in inspect.getmembers(Window, inspect.isfunction) if name[0] != "_"}
    assert {named(row[0]) for row in aggregates} == methods
    for row in aggregates:
        arguments = list(inspect.signature(getattr(Window, named(row[0]))).parameters)[1:]
        assert CODE.findall(row[1]) == arguments, row[0]


# Topics.


def test_every_topic_is_documented() -> None:
    """The catalogue's table: kind, direction, key, cleanup and what it is about."""
    rows = table(page("docs/reference/TOPICS.md"))
    assert [(named(r[0]), r[1], r[3], r[4], r[5]) for r in rows] == [
        (t.kind, t.direction, t.key, t.cleanup, t.about) for t in CATALOGUE
    ]


@pytest.mark.parametrize("topic", CATALOGUE, ids=lambda topic: topic.kind)
def test_every_field_of_a_record_is_documented(topic: Topic) -> None:
    """In the order in which a record has them, each with what it is."""
    rows = table(section(page("docs/reference/TOPICS.md"), f"`{topic.kind}`"))
    assert [named(row[0]) for row in rows] == list(topic.record.model_fields)
    assert all(row[1] for row in rows)


# Settings and exit codes.


WRITTEN = written()


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: path.name)
def test_the_reference_is_as_the_code_is(path: Path) -> None:
    """`make golden` writes it; whoever changed the code and forgot is told here."""
    assert path.read_text("utf-8") == WRITTEN[path], "run `make golden`"


def test_every_command_setting_metric_and_topic_is_in_the_reference() -> None:
    """By its name, with what it is: no command without words, no setting without a sentence."""
    shown = "".join(WRITTEN.values())
    for name in COMMANDS:
        assert f"## `riverrun {name}`\n\n" in shown, name
    for name, field in Settings.model_fields.items():
        assert f"| `{name.upper()}` | " in shown, name
        assert field.description, name
    for kind in (topic.kind for topic in CATALOGUE):
        assert f"| `{kind}` | " in shown, kind


def test_every_exit_code_is_in_the_reference() -> None:
    """Those that the command line gives a foreseen failure."""
    failures = (Unavailable("x"), Incompatible("x"), ConfigError("x"), RiverrunError("x"))
    assert {complain(failure) for failure in failures} < set(EXIT_CODES)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_page_names_a_setting_that_there_is_not(path: Path) -> None:
    """Whatever begins like one of ours is one of ours."""
    known = {name.upper() for name in Settings.model_fields}
    for name in re.findall(r"\b[A-Z]+_[A-Z_]*[A-Z]\b", path.read_text("utf-8")):
        if name.startswith(FAMILIES):
            assert name in known, name


def test_every_exit_code_of_a_worker_is_documented() -> None:
    """Those that its module names."""
    rows = table(section(page("docs/how-to/OPERATIONS.md"), "Exit codes of a worker"))
    codes = {worker_process.CLEAN, worker_process.BUG, worker_process.AGAIN, worker_process.DECIDE}
    assert {int(row[0]) for row in rows} == codes


# Decisions.


def decisions() -> list[Path]:
    """Every ADR."""
    return sorted((ROOT / "docs" / "adr").glob("[0-9]*.md"))


def test_every_decision_is_in_the_index() -> None:
    """By its number and its file, once."""
    assert len({path.name[:4] for path in decisions()}) == len(decisions())
    rows = table(page("docs/adr/README.md"))
    assert [LINK.findall(row[0])[0] for row in rows] == [path.name for path in decisions()]


@pytest.mark.parametrize("path", decisions(), ids=lambda path: path.name[:4])
def test_a_decision_has_its_parts(path: Path) -> None:
    """Status, context, decision and consequences, on about one page."""
    text = path.read_text("utf-8")
    for part in ("Status", "Context", "Decision", "Consequences"):
        assert re.search(rf"^\W*{part}\b", text, re.MULTILINE | re.IGNORECASE), part
    assert len(text.splitlines()) <= 80
