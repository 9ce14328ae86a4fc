"""The names of River that a snapshot may hold: each class of its learning packages.

    python -P -m streams.unpickling.river_allowlist    # rewrites river_allowlist.txt

They are kept in a file, so that another River brings no name unseen; a test holds the file against
the River that is installed. Packages that read files or the network, or run things, are left out.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from pathlib import Path

FILE = Path(__file__).with_name("river_allowlist.txt")
LEFT_OUT = ("bandit.datasets", "bandit.envs", "checks", "compat", "datasets", "evaluate", "stream")
TESTS = ("test_", "conftest")


def read() -> frozenset[tuple[str, str]]:
    """Return (module, qualified name) of each."""
    lines = FILE.read_text("utf-8").splitlines()
    return frozenset((module, name) for module, _, name in (line.partition(" ") for line in lines))


def installed() -> list[str]:
    """Return the same of the River that is installed, as lines."""
    import river

    lines: set[str] = set()
    for module in pkgutil.walk_packages(river.__path__, "river.", onerror=lambda name: None):
        if not _left_out(module.name):
            lines.update(_classes(module.name))
    # Its compiled part is a package that cannot be walked.
    lines.update(line for part in ("drift", "stats", "vectordict") for line in _compiled(part))
    return sorted(lines)


def _left_out(module: str) -> bool:
    name = module.removeprefix("river.")
    whole = any(name == out or name.startswith(f"{out}.") for out in LEFT_OUT)
    return whole or any(part.startswith(TESTS) for part in name.split("."))


def _classes(module_name: str) -> Iterator[str]:
    module = importlib.import_module(module_name)
    pending = [value for value in vars(module).values() if _is_of(value, module_name)]
    while pending:
        cls = pending.pop()
        yield f"{module_name} {cls.__qualname__}"
        pending.extend(value for value in vars(cls).values() if _is_of(value, module_name))


def _is_of(value: object, module: str) -> bool:
    # A class of classes would make new ones of what it is given.
    return inspect.isclass(value) and not issubclass(value, type) and value.__module__ == module


def _compiled(part: str) -> Iterator[str]:
    import river._river_rust as rust

    name = f"river._river_rust.{part}"
    for value in vars(getattr(rust, part)).values():
        if inspect.isclass(value):
            yield f"{name} {value.__qualname__}"


if __name__ == "__main__":
    FILE.write_text("\n".join(installed()) + "\n", "utf-8")
