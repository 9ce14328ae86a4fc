"""`riverrun check`: everything that can be known of a use case before it runs.

1. Its file is run, and makes one `UseCase`.
2. The declaration is read: `models.declaration.mistakes`. What is wrong there ends the check, since
   the rest would only repeat it.
3. It runs on its first ten recorded examples, as it would on the topics.
4. Its models are made and run twice, across a pickle and, in other processes, under three hash
   seeds; and their time is taken.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from time import process_time
from typing import Any

from models.declaration import Lines, Trial, first, mistakes, running
from models.estimators import Example, alike, check_model, settled, transcript
from models.usecase import UseCase
from schemas.errors import Misdeclared
from streams import seeds
from streams.loading import Loaded

SLOW_US = 1_000.0
"""A step (predict and learn) of one model beyond which a warning is due."""


@dataclass(slots=True)
class Examined:
    """What a check found. `ran` is None if the use case was not run."""

    mistakes: list[Misdeclared] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    ran: Trial | None = None
    cost_us: dict[str, float] = field(default_factory=dict)


def examine(loaded: Loaded) -> Examined:
    """All mistakes and warnings of a use case; takes seconds, and other processes."""
    use_case = loaded.use_case
    examined = Examined(mistakes(use_case, loaded.source))
    if examined.mistakes:
        return examined
    if use_case.recorded is None:
        examined.warnings.append(
            "There is no `recorded`, so nothing was run: features, label, KPI and models are "
            "untried. Give a function that returns some recorded events and outcomes."
        )
        return examined
    trial = examined.ran = running(use_case, first(use_case), loaded.source)
    examined.mistakes.extend(trial.mistakes)
    examined.warnings.extend(trial.warnings)
    if not trial.mistakes:
        _check_models(loaded, examined)
    return examined


def _check_models(loaded: Loaded, examined: Examined) -> None:
    use_case, lines = loaded.use_case, Lines(loaded.source)
    more = running(use_case, first(use_case, seeds.EVENTS), loaded.source)
    examples = alike(more.learnable(use_case), seeds.VECTORS)
    if not examples:
        return
    for name, make in use_case.models.items():
        faults, warnings = check_model(make, use_case.kind, examples)
        line = lines.of("models", name)
        examined.mistakes.extend(_fault(name, fault, line) for fault in faults)
        examined.warnings.extend(f"Model {name!r} {warning}" for warning in warnings)
        cost = examined.cost_us[name] = cost_us(make, use_case, examples)
        if cost > SLOW_US:
            examined.warnings.append(
                f"Model {name!r} takes {cost / 1000:.1f} ms a step: at most "
                f"{1e6 / cost:.0f} events a second on each core, whatever else is done."
            )
    if not examined.mistakes:
        _check_seeds(loaded, lines, examined)


def _check_seeds(loaded: Loaded, lines: Lines, examined: Examined) -> None:
    differing = seeds.differing(loaded.path)
    for name in differing["features"]:
        examined.mistakes.append(
            Misdeclared(
                f"feature {name!r} depends on the hash seed of the process.",
                mend="Sort a set before iterating it; use hashlib instead of hash().",
                line=lines.of("features", name),
            )
        )
    for name in differing["models"]:
        fault = (
            "depends on the hash seed of the process. Something in it iterates a set; leave that "
            "step out, or give it its names in order."
        )
        examined.mistakes.append(_fault(name, fault, lines.of("models", name)))


def _fault(name: str, fault: str, line: int | None) -> Misdeclared:
    reason, _, mend = fault.rpartition(". ")
    return Misdeclared(f"model {name!r} {reason}.", mend=mend, line=line)


def cost_us(make: Any, use_case: UseCase, examples: list[Example]) -> float:
    """Processor time of one step of a model, µs, over these examples."""
    model = settled(make())
    began = process_time()
    transcript(model, use_case.kind, examples)
    return (process_time() - began) * 1e6 / len(examples)
