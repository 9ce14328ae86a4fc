"""A use case under several hash seeds, each in a process of its own: what differs between them.

Python orders a set of strings differently in each process (`PYTHONHASHSEED`). Whatever lets that
order into a float cannot be derived again by another process. Each child runs the use case on the
same first examples and says digests; nothing but these is compared.

    python -P -m streams.seeds FILE        # what one child runs
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from models.declaration import first, running
from models.estimators import alike, digest, settled, transcript
from schemas.errors import Misdeclared
from streams.loading import load

SEEDS = (0, 1, 2)
EVENTS = 100
"""Recorded events that the examples are taken from."""

VECTORS = 400
TIMEOUT_S = 300.0

Digests = dict[str, dict[str, str]]
"""`features` and `models`: name → digest."""


def differing(path: Path, seeds: Sequence[int] = SEEDS) -> dict[str, list[str]]:
    """Names of the features and of the models whose values depend on the hash seed.

    Models are not blamed for features that differ. Raises `Misdeclared` if a child fails.
    """
    first, *others = _all(path, seeds)
    found = {
        kind: sorted(
            name
            for name, value in first[kind].items()
            if any(other[kind].get(name) != value for other in others)
        )
        for kind in ("features", "models")
    }
    return found | {"models": []} if found["features"] else found


def _all(path: Path, seeds: Sequence[int]) -> list[Digests]:
    children = [_start(path, seed) for seed in seeds]
    try:
        return [_result(child) for child in children]
    finally:
        for child in children:
            child.kill()
            child.wait()


def _start(path: Path, seed: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "streams.seeds", str(path)],
        env=os.environ | {"PYTHONHASHSEED": str(seed)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def _result(child: subprocess.Popen[bytes]) -> Digests:
    try:
        said, complaint = child.communicate(timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        raise Misdeclared(
            f"{VECTORS} examples took the models more than {TIMEOUT_S:g} s.",
            mend="Take lighter models, or fewer features.",
        ) from None
    if child.returncode != 0:
        last = (complaint.decode(errors="replace").strip().splitlines() or ["no reason given"])[-1]
        raise Misdeclared(f"the use case fails in another process: {last}.", mend="Mend it.")
    digests: Digests = orjson.loads(said.splitlines()[-1])
    return digests


def digests_of(path: Path) -> Digests:
    """Digests of each feature and of each model's predictions, in this process."""
    use_case = load(str(path)).use_case
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
    sys.stdout.write(orjson.dumps(digests_of(Path(sys.argv[1]))).decode() + "\n")
