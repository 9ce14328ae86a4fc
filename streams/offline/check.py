"""`riverrun check`: everything that can be known of a use case before it runs.

1. Its file is run, and makes one `UseCase`.
2. The declaration is read: `models.validation.mistakes`. What is wrong there ends the check, since
   the rest would only repeat it.
3. It runs on its first ten recorded examples, as it would on the topics.
4. Its models are made and run twice, across a pickle and, in other processes, under three hash
   seeds; and their time is taken, with the reasons of each answer: on these examples, and once they
   have seen many values of each text.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import process_time
from typing import Any

from models.inputs.json_bytes import encoded
from models.serving.explanations import Explainer
from models.serving.model_slot import ModelSlot
from models.serving.river_models import Example, alike, check_model
from models.spec.problem_types import KINDS
from models.spec.use_case import UseCase
from models.validation import Lines, Trial, first, mistakes, running, sample
from models.values.durations import spoken
from schemas.errors import ConfigError
from streams.config.use_case_loader import LoadedUseCase
from streams.offline import hash_seed_check

Row = tuple[str, Mapping[str, Any]]

SLOW_US = 1_000.0
"""A step (predict and learn) of one model beyond which a warning is due."""
CATEGORIES, CATEGORIES_S, GROWS = 2_000, 3.0, 3.0
"""Values of each text that are tried, at most so long (s of CPU); a warning if a step then costs so
many times as much."""
TIMED = 100


@dataclass(slots=True)
class Examined:
    """The result of a check. `ran` is None if the use case was not run."""

    mistakes: list[ConfigError] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    ran: Trial | None = None
    staleness: dict[str, str] = field(default_factory=dict)
    cost_us: dict[str, float] = field(default_factory=dict)
    cost_many_us: dict[str, float] = field(default_factory=dict)


def examine(loaded: LoadedUseCase, recorded: Callable[[], Iterable[Row]] | None = None) -> Examined:
    """Return all mistakes and warnings of a use case; takes seconds, and other processes.

    `recorded`: what it is run on, instead of its own recording.
    """
    use_case = loaded.use_case
    examined = Examined(mistakes(use_case, loaded.source))
    if examined.mistakes:
        return examined
    examined.staleness = staleness_of(use_case)
    rows = None if recorded is None else list(sample(recorded(), hash_seed_check.EVENTS))
    if rows is not None:
        use_case = replace(use_case, recorded=lambda: iter(rows))
        loaded = replace(loaded, use_case=use_case)
    if use_case.recorded is None:
        examined.warnings.append(
            "There is no `recorded`, so nothing was run: features, label, KPI and models are "
            "untried. Give a function that returns some recorded events and outcomes, or name a "
            "recording: --source FILE."
        )
        return examined
    trial = examined.ran = running(use_case, first(use_case), loaded.source)
    examined.mistakes.extend(trial.mistakes)
    examined.warnings.extend(trial.warnings)
    if not trial.mistakes:
        _check_models(loaded, examined, rows)
    return examined


def _check_memory(loaded: LoadedUseCase, lines: Lines, examined: Examined, again: Trial) -> None:
    """Report features that are another when the same records are run again in this process."""
    assert examined.ran is not None
    pairs = list(zip(examined.ran.vectors, again.vectors, strict=False))
    for name in loaded.use_case.features:
        if any(once.get(name) != twice.get(name) for once, twice in pairs):
            examined.mistakes.append(
                ConfigError(
                    f"feature {name!r} is another when the same records are run again: it keeps "
                    "something outside the event and its windows.",
                    hint="Declare what it remembers as a window: only that is part of the state.",
                    line=lines.of("features", name),
                )
            )


def staleness_of(use_case: UseCase) -> dict[str, str]:
    """Return, for each feature that is not as of the event itself, how far it may be behind."""
    bounds = use_case.freshness
    behind = (
        f"counts the records of all partitions, at most {bounds.examples:g} records and "
        f"{bounds.windows:g} seconds of event time behind; "
        f"{spoken(bounds.event_time)} in a catch-up"
    )
    return dict.fromkeys(use_case.shared_windows, behind)


def _check_models(loaded: LoadedUseCase, examined: Examined, rows: list[Row] | None) -> None:
    use_case, lines = loaded.use_case, Lines(loaded.source)
    more = running(use_case, first(use_case, hash_seed_check.EVENTS), loaded.source)
    examples = alike(more.learnable(use_case), hash_seed_check.VECTORS)
    if not examples:
        return
    for name, make in use_case.models.items():
        faults, warnings = check_model(make, use_case.kind, examples)
        line = lines.of("models", name)
        examined.mistakes.extend(_fault(name, fault, line) for fault in faults)
        examined.warnings.extend(f"Model {name!r} {warning}" for warning in warnings)
        cost = examined.cost_us[name] = cost_us(name, use_case, examples)
        _check_categories(name, use_case, examples, examined)
        if cost > SLOW_US:
            examined.warnings.append(
                f"Model {name!r} takes {cost / 1000:.1f} ms a step: at most "
                f"{1e6 / cost:.0f} events a second on each core, whatever else is done."
            )
    if not examined.mistakes:
        _check_seeds(loaded, lines, examined, rows)
    if not examined.mistakes:
        _check_memory(loaded, lines, examined, more)


def _check_seeds(
    loaded: LoadedUseCase, lines: Lines, examined: Examined, rows: list[Row] | None
) -> None:
    with tempfile.TemporaryDirectory(prefix="riverrun-") as folder:
        file = None
        if rows is not None:
            file = Path(folder) / "rows.json"
            file.write_bytes(encoded(rows))
        differing = hash_seed_check.differing(loaded.path, rows=file)
    for name in differing["features"]:
        examined.mistakes.append(
            ConfigError(
                f"feature {name!r} is another in each process: it depends on the hash seed of the "
                "process, a clock or a random number.",
                hint="Sort a set before iterating it; use hashlib instead of hash(), the event's "
                "time instead of a clock.",
                line=lines.of("features", name),
            )
        )
    for name in differing["models"]:
        fault = (
            "depends on the hash seed of the process. Something in it iterates a set; leave that "
            "step out, or give it its names in order."
        )
        examined.mistakes.append(_fault(name, fault, lines.of("models", name)))


def _fault(name: str, fault: str, line: int | None) -> ConfigError:
    reason, _, hint = fault.rpartition(". ")
    return ConfigError(f"model {name!r} {reason}.", hint=hint, line=line)


def _check_categories(
    name: str, use_case: UseCase, examples: list[Example], examined: Examined
) -> None:
    texts = sorted({n for x, _ in examples for n, value in x.items() if isinstance(value, str)})
    if not texts:
        return
    seen, many = cost_of_many_us(name, use_case, examples, _with_other_texts)
    examined.cost_many_us[name] = many
    _, usual = cost_of_many_us(name, use_case, examples, lambda x, number: dict(x))
    if many > GROWS * usual:
        examined.warnings.append(
            f"Model {name!r} takes {many:,.0f} µs a step once it has seen {seen:,} values of "
            f"{', '.join(texts)}, instead of {usual:,.0f}. Where there are many, leave such a "
            "feature out, or hash it into fewer."
        )


def cost_us(name: str, use_case: UseCase, examples: list[Example]) -> float:
    """Return the processor time of one step of a model, its contributions included, µs."""
    step = _Steps(name, use_case)
    began = process_time()
    for x, y in examples:
        step.take(x, y)
    return (process_time() - began) * 1e6 / len(examples)


def cost_of_many_us(
    name: str,
    use_case: UseCase,
    examples: list[Example],
    changed: Callable[[Mapping[str, Any], int], dict[str, Any]],
) -> tuple[int, float]:
    """Return the number of examples that a model has learnt, and the cost of one step then, µs.

    Each example is `changed` first.
    """
    steps, began = _Steps(name, use_case), process_time()
    seen = 0
    while seen < CATEGORIES and process_time() - began < CATEGORIES_S:
        x, y = examples[seen % len(examples)]
        steps.take(changed(x, seen), y)
        seen += 1
    began = process_time()
    for number in range(seen, seen + TIMED):
        x, y = examples[number % len(examples)]
        steps.take(changed(x, number), y)
    return seen, (process_time() - began) * 1e6 / TIMED


def _with_other_texts(x: Mapping[str, Any], number: int) -> dict[str, Any]:
    return {
        name: f"{value} {number}" if isinstance(value, str) else value for name, value in x.items()
    }


class _Steps:
    """A model that answers, explains its answer and learns, as in a partition task."""

    def __init__(self, name: str, use_case: UseCase) -> None:
        self._kind = KINDS[use_case.kind]
        self._slot = ModelSlot(name, None, use_case.models[name]())
        self._explainer = Explainer(use_case.contributions)

    def take(self, x: dict[str, Any], y: Any) -> None:
        """Do one step; what a model raises is reported elsewhere."""
        self._slot.ask(self._kind, x)
        self._explainer.explain(self._slot, x, 0.0)
        self._slot.learn(x, y, None)
