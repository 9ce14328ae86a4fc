"""Checks that an estimator repeats its predictions, and the parts that make it slow.

A prediction is verified by deriving it again: after a crash, in another process, a year later. So
an estimator must not draw unseeded random numbers, must survive a pickle, and must not depend on
the order in which Python iterates a set of strings, which differs from process to process
(`PYTHONHASHSEED`). The part that needs other processes is in `streams.offline.hash_seed_check`.
"""

from __future__ import annotations

import hashlib
import pickle
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from river import base, compose, neighbors, optim, preprocessing
from river.tree import splitter

from models.spec.problem_types import KINDS
from schemas.errors import AUTHORS_FAULTS

Example = tuple[dict[str, Any], Any]
"""Features, and the label as the model learns it."""

_DEPTH_MAX = 40


class SettledSelect(compose.Select):  # type: ignore[misc]  # River ships no types
    """River's `Select` whose names have an order: sorted, not that of a set.

    It also makes one of its kind when it is cloned, as ensembles do with what is in them.
    """

    def __init__(self, *keys: Any) -> None:
        super().__init__(*keys)
        self.keys = tuple(sorted(set(keys), key=str))


def settled(model: Any) -> Any:
    """Make every `compose.Select` of `model` iterate its names in sorted order; return it.

    Sums of floats depend on the order of what is added, so without this a linear model's last bits
    depend on the hash seed. `compose.Discard` asks its set and never iterates it, and stays.
    """
    for part in parts(model):
        if type(part) is compose.Select:
            part.keys = tuple(sorted(part.keys, key=str))
            part.__class__ = SettledSelect
    return model


def parts(model: Any) -> Iterator[Any]:
    """Yield the model and every River object that it is made of, each once."""
    seen: set[int] = set()
    pending: list[tuple[Any, int]] = [(model, 0)]
    while pending:
        value, depth = pending.pop()
        if depth > _DEPTH_MAX or id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, base.Base):
            yield value
            pending.extend((inner, depth + 1) for inner in vars(value).values())
        # Containers of River's own (ensembles) are Base and UserList or UserDict in one.
        if isinstance(value, dict):
            pending.extend((inner, depth + 1) for inner in value.values())
        elif isinstance(value, list | tuple):
            pending.extend((inner, depth + 1) for inner in value)


def _is(part: Any, *kinds: type) -> bool:
    # River's `isinstance` looks through a pipeline to its last step; here the part itself counts.
    return issubclass(type(part), kinds)


def final(model: Any) -> Any:
    """Return the estimator that a pipeline ends in; of anything else, itself."""
    while _is(model, compose.Pipeline) and model.steps:
        model = next(reversed(model.steps.values()))
    return model


def shared_parts(first: Any, second: Any) -> list[str]:
    """Return the names of learning parts that two models have in common; they should have none."""
    learning = (base.Estimator, optim.base.Optimizer)
    own_parts = {id(part): part for part in parts(first) if _is(part, *learning)}
    shared = {type(part).__name__ for part in parts(second) if id(part) in own_parts}
    return sorted(shared)


def check_model(
    make: Callable[[], Any], kind: str, vectors: Sequence[Example]
) -> tuple[list[str], list[str]]:
    """Return (faults, warnings) of an estimator, without their subject; the hint comes last.

    It is made and run twice, and once more through a pickle at half way, over the same vectors.
    """
    faults, warnings = [], _slow(make())
    if any(_is(part, neighbors.SWINN) for part in parts(make())):
        faults.append(
            "searches neighbours with SWINN, which keeps part of its state in its class, shared by "
            "all models of a process and in no snapshot. Use engine=neighbors.LazySearch()."
        )
        return faults, warnings
    once = transcript(settled(make()), kind, vectors)
    raised = next((line for line in once if line.startswith("raised ")), None)
    if raised is not None:
        faults.append(f"{raised}. Give it only features that it can take.")
    unseeded = _unseeded(make())
    if once != transcript(settled(make()), kind, vectors) or unseeded:
        which = f": {', '.join(unseeded)}" if unseeded else ""
        faults.append(f"differs each time it is made{which}. Give a seed, such as seed=42.")
        return faults, warnings
    try:
        twice = transcript(settled(make()), kind, vectors, pickled_at=len(vectors) // 2)
    except AUTHORS_FAULTS as error:  # whatever pickle meets in an estimator
        faults.append(
            f"cannot be pickled ({type(error).__name__}: {error}), so no snapshot can hold it. "
            "Use functions that have a name at the top of the file, not lambdas."
        )
        return faults, warnings
    if once != twice:
        faults.append(
            "differs after a pickle, so it would differ after a restart. Take another estimator, "
            "or another engine of this one."
        )
    return faults, warnings


def transcript(
    model: Any, kind: str, vectors: Sequence[Example], *, pickled_at: int | None = None
) -> list[str]:
    """Return the model's prediction for each vector before it learns it, to the last bit."""
    ask = KINDS[kind].ask
    lines = []
    for number, (x, y) in enumerate(vectors):
        if number == pickled_at:
            model = pickle.loads(pickle.dumps(model))
        try:
            lines.append(repr(ask(model, x)))
            model.learn_one(x, y)
        except (
            AUTHORS_FAULTS
        ) as error:  # an estimator's fault is told of, and compared like the rest
            lines.append(f"raised {type(error).__name__}: {error}")
    return lines


def digest(lines: Sequence[str]) -> str:
    """Return a transcript as 16 hex digits."""
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def alike(examples: Sequence[Example], n: int) -> list[Example]:
    """Return `n` examples: those given, then more with values drawn from them, always the same.

    Ten examples do not make a forest split; hundreds that look like them do.
    """
    if not examples:
        return []
    draw = random.Random(20130101)
    drawn = list(examples[:n])
    while len(drawn) < n:
        x = {name: _near(value, examples, name, draw) for name, value in examples[0][0].items()}
        drawn.append((x, draw.choice(examples)[1]))
    return drawn


def _near(value: Any, examples: Sequence[Example], name: str, draw: random.Random) -> Any:
    drawn = draw.choice(examples)[0].get(name, value)
    return drawn + draw.gauss(0.0, 0.1) if type(drawn) is float else drawn


def _unseeded(model: Any) -> list[str]:
    """Yield the parts that would draw a seed of their own."""
    return sorted(
        {
            f"{type(part).__name__}(seed=None)"
            for part in parts(model)
            if "seed" in vars(part) and part.seed is None
        }
    )


def _slow(model: Any) -> list[str]:
    """Return what is known to cost more the longer it runs."""
    warnings = []
    if any(_is(part, preprocessing.OneHotEncoder) and not part.drop_zeros for part in parts(model)):
        warnings.append(
            "has a OneHotEncoder that writes a zero for every category it has ever seen: at 5,000 "
            "categories a step costs 1 to 3 ms instead of 0.01. Write "
            "OneHotEncoder(drop_zeros=True)."
        )
    if any(_is(part, splitter.EBSTSplitter) for part in parts(model)):
        warnings.append(
            "has a splitter that keeps a search tree: a feature that only grows, as a count or a "
            "time, makes it a chain, one call deeper a value, slower at every step, and raises at "
            "some hundred thousand. Write splitter=tree.splitter.QOSplitter()."
        )
    return warnings
