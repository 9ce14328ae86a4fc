"""Loads a use case's file: the object in it, its source and the hash of its definition.

USECASE is a file's path, or a bare name: `flight_eta` is `usecases/flight_eta.py` here, or the one
that riverrun brings. The definition is a SHA-256, cut to 12 hex digits, of all that its floats
depend on: the file's text without trailing white space (any other change, a comment too, is a new
definition), the files that it reads while it is run (`streams.config.lookup_files`), and the
runtime: Python's minor version, River's version, and riverrun's own core.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib.metadata
import importlib.util
import linecache
import platform
import sys
import traceback
import types
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from models.spec.use_case import UseCase
from schemas.errors import AUTHORS_FAULTS, ConfigError
from streams.config.former_names import hint_of
from streams.config.lookup_files import LookupFile, files_of, watching


@dataclass(frozen=True, slots=True)
class LoadedUseCase:
    """A use case with where it came from."""

    use_case: UseCase
    path: Path
    source: str
    definition: str
    files: tuple[LookupFile, ...] = ()

    @property
    def argument(self) -> str:
        """Return the use case as a command line names it.

        That is its name if the name resolves to it, else the path.
        """
        brought = self.path.parent.name == "usecases" and self.path.stem == self.use_case.name
        return self.use_case.name if brought else str(self.path)


def definition_of(
    source: str, run_by: str | None = None, files: Mapping[str, str] | None = None
) -> str:
    """Return the hash of a definition under a runtime (default: this one), 12 hex digits.

    The hash names the definition; its identity is its whole text. `files`: SHA-256 of each lookup
    file by its name.
    """
    text = f"{text_of(source)}\n{runtime() if run_by is None else run_by}"
    text += "".join(f"\n{name!r} {digest}" for name, digest in sorted((files or {}).items()))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def text_of(source: str) -> str:
    """Return the significant text of a source: without blanks at the ends of lines.

    Only Python's own line ends count (U+2028 ends no comment).
    """
    return "\n".join(line.rstrip(" \t\r") for line in source.strip(" \t\r\n").split("\n"))


@cache
def runtime() -> str:
    """Return the runtime that the floats depend on, as text."""
    core = hashlib.sha256()
    for package in ("models", "schemas"):
        spec = importlib.util.find_spec(package)
        assert spec is not None
        for folder in spec.submodule_search_locations or ():
            for file in sorted(Path(folder).rglob("*.py")):
                core.update(file.read_bytes())
    python = ".".join(platform.python_version_tuple()[:2])
    river = importlib.metadata.version("river")
    return f"python {python}, river {river}, riverrun core {core.hexdigest()[:12]}"


def find(name: str) -> Path:
    """Return the file of a use case; raise `ConfigError` that lists the paths tried."""
    asked = Path(name)
    if asked.suffix == ".py":
        if asked.is_file():
            return asked.resolve()
        raise ConfigError(f"There is no file {name}.", hint="`riverrun new NAME` writes one.")
    for folder in (Path("usecases"), *_brought()):
        if (folder / f"{name}.py").is_file():
            return (folder / f"{name}.py").resolve()
    if asked.is_file():
        raise ConfigError(f"{name} is no Python file.", hint="Name a use case, or a file in .py.")
    near = difflib.get_close_matches(name, known(), 1)
    meant = f" Did you mean {near[0]!r}?" if near else ""
    raise ConfigError(
        f"There is no use case {name!r}; there are: {', '.join(known())}.{meant}",
        hint=f"Give a path, or `riverrun new {name}` to begin one.",
    )


def known() -> list[str]:
    """Return the bare names of the use cases here and of those that riverrun ships."""
    places = (Path("usecases"), *_brought())
    files = (path for folder in places for path in folder.glob("*.py"))
    return sorted({path.stem for path in files if not path.name.startswith("_")})


def check_has(case: UseCase, model: str) -> None:
    """Raise `ConfigError`, which lists the models, unless the use case has that model."""
    if model not in case.models:
        raise ConfigError(
            f"{case.name} has no model {model!r}.", hint=f"It has: {', '.join(case.models)}."
        )


def load(name: str) -> LoadedUseCase:
    """Run a use case's file and return the one `UseCase` in it.

    Raise `ConfigError`, with the line where it is known, if the file fails or has none or several.
    """
    path = find(name)
    source = _text_in(path)
    module = f"usecases.{path.stem}"
    spec = importlib.util.spec_from_file_location(module, path)
    assert spec is not None
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[module] = loaded  # pydantic looks a model's annotations up there
    try:
        with watching(path) as opened, redirect_stdout(sys.stderr):  # it is no result
            # The text and no bytecode: that is known by time and size, which may be the same.
            exec(compile(source, str(path), "exec", dont_inherit=True), vars(loaded))
    except ConfigError:
        raise
    except AUTHORS_FAULTS as error:  # whatever the author's file raises is a mistake
        line = _line_in(path, error)
        raise ConfigError(
            f"{path.name} failed: {type(error).__name__}: {error}.",
            hint=hint_of(error, linecache.getline(str(path), line) if line else None),
            line=line,
        ) from error
    use_cases = [value for value in vars(loaded).values() if isinstance(value, UseCase)]
    if len({id(value) for value in use_cases}) != 1:
        raise ConfigError(
            f"{path.name} makes {len(use_cases)} use cases.",
            hint="Make one `UseCase(...)` in a file.",
        )
    files = files_of(opened)
    digests = {file.name: file.sha256 for file in files}
    return LoadedUseCase(use_cases[0], path, source, definition_of(source, files=digests), files)


def _text_in(path: Path) -> str:
    """Return a file's text as Python reads it, whatever the locale."""
    try:
        return importlib.util.decode_source(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"Cannot read {path}: {error.strerror}.") from error
    except (SyntaxError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path.name} is no text in UTF-8: {error}.", hint="Save it in UTF-8."
        ) from error


@contextmanager
def standing_in(module: str, namespace: dict[str, Any]) -> Iterator[None]:
    """Let `module` hold these names within the block: pickles refer to an older definition's
    classes and functions by the same module name as to the newer one's.
    """
    stand_in, current = types.ModuleType(module), sys.modules.get(module)
    vars(stand_in).update(namespace)
    sys.modules[module] = stand_in
    try:
        yield
    finally:
        if current is None:
            del sys.modules[module]
        else:
            sys.modules[module] = current


def namespace_of(module: str, functions: Iterable[Any]) -> dict[str, Any]:
    """Return the names of the module that a use case's functions were written in."""
    for function in functions:
        if getattr(function, "__module__", None) == module and hasattr(function, "__globals__"):
            namespace: dict[str, Any] = function.__globals__
            return namespace
    return vars(sys.modules[module])


@cache
def versions() -> dict[str, str]:
    """Return the versions that a definition's floats depend on."""
    return {
        "python": platform.python_version(),
        "river": importlib.metadata.version("river"),
        "riverrun": importlib.metadata.version("riverrun"),
    }


def lock() -> str:
    """Return the installed distributions, `name==version` a line, sorted."""
    lines = {
        f"{dist.metadata['Name']}=={dist.version}" for dist in importlib.metadata.distributions()
    }
    return "\n".join(sorted(lines))


def _brought() -> tuple[Path, ...]:
    spec = importlib.util.find_spec("usecases")
    places = spec.submodule_search_locations if spec else None
    return tuple(Path(folder) for folder in places or ())


def _line_in(path: Path, error: BaseException) -> int | None:
    if isinstance(error, SyntaxError):
        return error.lineno
    frames = traceback.extract_tb(error.__traceback__)
    return next((f.lineno for f in reversed(frames) if Path(f.filename) == path), None)
