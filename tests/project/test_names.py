"""Names and sizes: what the house style promises of every module."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import sys
from collections import Counter
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from types import ModuleType

import pytest

from tests.conftest import LONGEST_FIRST, SPREAD

ROOT = Path(__file__).parents[2]
PACKAGES = ("schemas", "models", "riverrun", "streams", "usecases")
LINES_MAX = 400
FILES_MAX = 14
FILES = sorted(
    path.relative_to(ROOT).as_posix() for name in PACKAGES for path in (ROOT / name).rglob("*.py")
)
MODULES = [path.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for path in FILES]
IMPORTED = [name for name in MODULES if not name.endswith("__main__")]
ENVIRONMENTS = {".envs"}
"""Folders in which `make bench` installs riverrun's peers; git ignores them."""

VERBLESS = {
    *("A", "All", "An", "Another", "Any", "As", "Before", "Each", "Every", "Everything", "For"),
    *("From", "How", "In", "It", "Its", "No", "None", "Not", "Nothing", "Of", "One", "Only", "So"),
    *("That", "The", "They", "Those", "Until", "What", "When", "Where", "Whether", "Which", "Who"),
    *("Whoever", "Why", "With"),
}
VAGUE = {"utils", "helpers", "manager", "base", "common", "misc", "util", "helper"}


def test_the_import_names_belong_to_this_distribution_alone():
    """They are generic, so another distribution could bring its own; that must be noticed.

    An editable install names no modules of its own, so the whole path is searched for others, too.
    """
    owners = packages_distributions()
    for name in PACKAGES:
        assert set(owners.get(name, ["riverrun"])) == {"riverrun"}
        elsewhere = [
            path
            for entry in map(Path, filter(None, sys.path))
            for path in (entry / name, entry / f"{name}.py")
            if entry.resolve() != ROOT and path.exists()
        ]
        assert elsewhere == []


def test_the_import_names_come_from_this_folder():
    """And not from a package of the same name further along the path."""
    for name in PACKAGES:
        module = importlib.import_module(name)
        assert Path(str(module.__file__)).parent == ROOT / name


def test_every_package_has_its_init():
    """A folder without one would be importable here and missing from a wheel."""
    folders = {Path(path).parent for path in FILES}
    assert {folder for folder in folders if not (ROOT / folder / "__init__.py").exists()} == set()


def test_no_module_is_longer_than_400_lines():
    """Above that it is two rooms; those of tests and benchmarks count, too."""
    files = [ROOT / path for path in FILES] + everything_else()
    lines = {str(path): len(path.read_text("utf-8").splitlines()) for path in files}
    assert {path: count for path, count in lines.items() if count > LINES_MAX} == {}


def test_no_folder_holds_more_than_14_files():
    """Above that it is two rooms; those of tests and benchmarks count, too."""
    files = [ROOT / path for path in FILES] + everything_else()
    folders = Counter(
        path.parent.relative_to(ROOT).as_posix() for path in files if path.name != "__init__.py"
    )
    assert {folder: count for folder, count in folders.items() if count > FILES_MAX} == {}


def everything_else() -> list[Path]:
    """The files of tests, benchmarks and tools, without the environments of the peers."""
    return [
        path
        for name in ("tests", "benchmarks", "tools")
        for path in (ROOT / name).rglob("*.py")
        if not ENVIRONMENTS & set(path.parts)
    ]


PARTICIPLES = {"found", "gone", "kept", "made", "mine", "place", "said", "theirs"}


def test_a_value_is_named_by_what_it_is():
    """A participle or a pronoun tells a reader nothing: `match` or `rows`, and not `found`."""
    wrong = {}
    for path in [ROOT / path for path in FILES] + everything_else():
        bound = {
            getattr(node, "id", None) or getattr(node, "arg", None) or getattr(node, "name", None)
            for node in ast.walk(ast.parse(path.read_text("utf-8")))
            if isinstance(node, ast.arg | ast.FunctionDef | ast.AsyncFunctionDef)
            or (isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store))
        }
        if bound & PARTICIPLES:
            wrong[path.relative_to(ROOT).as_posix()] = bound & PARTICIPLES
    assert wrong == {}


def test_no_module_has_a_name_that_says_nothing():
    """No `utils` and its like."""
    assert [path for path in FILES if set(Path(path).with_suffix("").parts) & VAGUE] == []


def test_every_public_thing_is_documented():
    """Modules, classes, functions and methods, by a sentence that ends."""
    wrong = []
    for path in FILES:
        for name, node in public(ast.parse((ROOT / path).read_text("utf-8"))):
            first = (ast.get_docstring(node) or "").strip().split("\n\n")[0].rstrip()
            if not first.endswith((".", ":", "?")):
                wrong.append((path, name))
    assert wrong == []


def test_a_function_s_docstring_begins_with_its_verb():
    """Ruff knows the moods of verbs, and not that a sentence has none; properties are nouns."""
    wrong = [
        (path, name, first)
        for path in FILES
        for name, node in public(ast.parse((ROOT / path).read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and not any("property" in ast.unparse(each) for each in node.decorator_list)
        and ((first := (ast.get_docstring(node) or "").split(" ")[0]) in VERBLESS)
    ]
    assert wrong == []


def test_a_public_class_has_a_name_of_its_own():
    """Whoever greps for a name finds one class and nothing else."""
    classes = Counter(
        node.name
        for path in FILES
        for node in ast.walk(ast.parse((ROOT / path).read_text("utf-8")))
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    assert [name for name, count in classes.items() if count > 1] == []


def test_the_files_that_are_spread_or_begin_first_exist():
    """A renamed one would run late, or whole, and nobody would notice."""
    named = {*LONGEST_FIRST, *SPREAD}
    assert [name for name in named if not (ROOT / "tests/integration" / name).is_file()] == []


Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def public(tree: ast.Module) -> Iterator[tuple[str, Documented]]:
    """The module and what is public in it; an overload and an override of a name are its own."""
    yield "module", tree
    pending: list[tuple[str, ast.AST]] = [("", node) for node in tree.body]
    while pending:
        prefix, node = pending.pop()
        if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if node.name.startswith("_") or _stub(node):
            continue
        yield prefix + node.name, node
        if isinstance(node, ast.ClassDef):
            pending += [(f"{prefix}{node.name}.", inner) for inner in node.body]


def _stub(node: ast.AST) -> bool:
    """A protocol's method that is only named: what it does is said where it is done."""
    body = getattr(node, "body", [])
    return len(body) == 1 and isinstance(body[0], ast.Expr) and ast.unparse(body[0]) == "..."


@pytest.mark.parametrize("name", IMPORTED)
def test_an_all_is_sorted_and_names_what_there_is(name: str):
    """`__all__`, where a module has one: sorted, without repetition, each name defined."""
    module = importlib.import_module(name)
    names = getattr(module, "__all__", [])
    assert list(names) == sorted(set(names))
    assert [each for each in names if not hasattr(module, each)] == []


def test_the_core_s_modules_import_without_the_servers_clients():
    """`schemas` and `models` load neither Faust nor aiokafka nor redis."""
    for name in IMPORTED:
        if name.startswith(("schemas", "models")):
            names = {value.__name__.partition(".")[0] for value in vars_of(name)}
            assert not names & {"faust", "aiokafka", "redis", "asyncio", "time", "socket", "os"}


def vars_of(name: str) -> list[ModuleType]:
    """The modules that a module holds under a name."""
    module = importlib.import_module(name)
    return [value for value in vars(module).values() if inspect.ismodule(value)]


def test_the_list_above_is_all_there_is():
    """Found as files and found as modules are the same."""
    modules = {
        module.name
        for name in PACKAGES
        for module in pkgutil.walk_packages([str(ROOT / name)], prefix=f"{name}.")
    }
    assert modules | set(PACKAGES) == set(MODULES)
