"""A use case under several hash seeds, each in a process of its own: what differs between them.

Python orders a set of strings differently in each process (`PYTHONHASHSEED`). Whatever lets that
order into a float cannot be derived again by another process. Each child runs the use case on the
same first examples and says digests; nothing but these is compared.

    python -P -m streams.offline.hash_seed_check FILE [ROWS]   # one child; ROWS: JSON rows
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson

from models.serving.river_models import alike, digest, settled, transcript
from models.validation import first, running
from schemas.errors import ConfigError
from streams.config.use_case_loader import load

SEEDS = (0, 1, 2)
EVENTS = 100
"""Recorded events that the examples are taken from."""

VECTORS = 400
TIMEOUT_S = 300.0

Digests = dict[str, dict[str, str]]
"""`features` and `models`: name → digest."""


def differing(
    path: Path, seeds: Sequence[int] = SEEDS, rows: Path | None = None
) -> dict[str, list[str]]:
    """Return the features and models whose values depend on the hash seed.

    `rows`: a file with the recorded rows to run, instead of the use case's own.

    Models are not blamed for features that differ. Raises `ConfigError` if a child fails.
    """
    first, *others = _all(path, seeds, rows)
    names = {
        kind: sorted(
            name
            for name, value in first[kind].items()
            if any(other[kind].get(name) != value for other in others)
        )
        for kind in ("features", "models")
    }
    return names | {"models": []} if names["features"] else names


def _all(path: Path, seeds: Sequence[int], rows: Path | None) -> list[Digests]:
    children = [_start(path, seed, rows) for seed in seeds]
    try:
        return [_result(child) for child in children]
    finally:
        for child in children:
            child.kill()
            child.wait()


def _start(path: Path, seed: int, rows: Path | None) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [
            sys.executable,
            "-P",
            "-m",
            "streams.offline.hash_seed_check",
            str(path),
            *([str(rows)] if rows else []),
        ],
        env=os.environ | {"PYTHONHASHSEED": str(seed)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def _result(child: subprocess.Popen[bytes]) -> Digests:
    try:
        output, errors = child.communicate(timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        raise ConfigError(
            f"{VECTORS} examples took the models more than {TIMEOUT_S:g} s.",
            hint="Take lighter models, or fewer features.",
        ) from None
    if child.returncode != 0:
        last = (errors.decode(errors="replace").strip().splitlines() or ["no reason given"])[-1]
        raise ConfigError(f"the use case fails in another process: {last}.", hint="Fix it.")
    digests: Digests = orjson.loads(output.splitlines()[-1])
    return digests


def digests_of(path: Path, rows: Path | None = None) -> Digests:
    """Return digests of each feature and of each model's predictions, computed in this process."""
    use_case = load(str(path)).use_case
    if rows is not None:
        recorded = orjson.loads(rows.read_bytes())
        use_case = replace(use_case, recorded=lambda: iter(recorded))
    trial = running(use_case, first(use_case, EVENTS))
    examples = alike(trial.learnable(use_case), VECTORS)
    values: dict[str, list[Any]] = {name: [] for name in use_case.features}
    for x in trial.vectors:
        for name, seen in values.items():
            seen.append(x.get(name))
    return {
        "features": {name: digest([repr(value) for value in v]) for name, v in values.items()},
        "models": {
            name: digest(transcript(settled(make()), use_case.kind, examples))
            for name, make in use_case.models.items()
        },
    }


if __name__ == "__main__":
    sys.stdout.buffer.write(orjson.dumps(digests_of(*map(Path, sys.argv[1:]))) + b"\n")
