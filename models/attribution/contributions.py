"""Why this prediction: what each feature added to it, so that all of it adds up.

Linear models: weight · (value - running mean) of each input of the model, inputs that come from one
feature (one-hot, scaled) added up; exact for additive models, where these are the Shapley values
under independent features (Štrumbelj & Kononenko 2014, KAIS 41(3)). Trees: along the path, each
split's feature is given the difference of the node values on either side of it, and what the leaf
says beyond its own mean goes to `LEAF` (Saabas 2014; exact, but it favours splits low in the tree).

Always: reference + all contributions = prediction, to rounding. For classifiers in log-odds of the
likeliest class against all others (logistic regression: of True), since probabilities do not add
up.

Known steps are pipelines, unions, OneHotEncoder, and transformers that keep names (StandardScaler,
Select, ...). A transformer that makes new names is explained in those. Other models: TypeError.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from river import compose, linear_model, preprocessing, tree

LEAF = "(leaf)"
LEAST = 1e-9


class Explanation(NamedTuple):
    """`reference` plus the values of `top` plus `rest` is `prediction`, in `unit`."""

    prediction: float
    reference: float
    top: list[tuple[str, float]]
    rest: float
    unit: Literal["label", "log-odds"]


class Seen(NamedTuple):
    """What reaches a model's last step: the inputs, which feature each is from, and that step.

    `weights`: a linear model's, in its order, where they are at hand without asking the step.
    """

    values: Mapping[str, Any]
    sources: Mapping[str, str]
    last: Any
    weights: Iterable[tuple[str, float]] | None = None


@dataclass(slots=True)
class Means:
    """Running means of a linear model's inputs, after its transformers.

    Memory: at most `names_max` inputs; those seen later have mean 0, and all still adds up. One
    update costs the model's own transform and 0.1 µs an active input.
    """

    names_max: int = 10_000
    count: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)

    def update(self, model: Any, x: Mapping[str, Any]) -> None:
        """Take an event's features, with the transformers as they are now."""
        seen = inputs(model, x)
        self.note(seen.values, seen.sources)

    def note(self, values: Mapping[str, Any], sources: Mapping[str, str]) -> None:
        """Take what `inputs` gave."""
        self.count += 1
        for name, value in values.items():
            if name in self.sums:
                self.sums[name] += value
            elif len(self.sums) < self.names_max:
                self.sums[name] = value
                self.sources[name] = sources[name]

    def mean(self, name: str) -> float:
        """Mean of an input over all events; where it is absent it counts as 0, as for the model."""
        return self.sums.get(name, 0.0) / self.count if self.count else 0.0


def explain(
    model: Any, x: Mapping[str, Any], means: Means, top: int = 5, *, note: bool = False
) -> Explanation:
    """The `top` largest contributions to what `model` says of `x` now, and the rest.

    With `note`, `x` is first taken into the means.

    >>> from river import linear_model
    >>> model, means = linear_model.LinearRegression(), Means()
    >>> for k in range(100):
    ...     means.update(model, {"a": k % 3, "b": k % 2})
    ...     model.learn_one({"a": k % 3, "b": k % 2}, 2.0 * (k % 3))
    >>> said = explain(model, {"a": 2, "b": 1}, means, top=1)
    >>> said.top[0][0]
    'a'
    >>> total = said.reference + said.top[0][1] + said.rest
    >>> abs(total - model.predict_one({"a": 2, "b": 1})) < 1e-9
    True
    """
    return explained(inputs(model, x), means, top, note=note)


def explained(seen: Seen, means: Means, top: int, *, note: bool) -> Explanation:
    """As `explain`, of what reaches the last step."""
    values, sources, last, _ = seen
    if note:
        means.note(values, sources)
    unit: Literal["label", "log-odds"] = "label"
    if isinstance(last, (linear_model.LinearRegression, linear_model.LogisticRegression)):
        found, prediction = _linear(seen, means)
        unit = "log-odds" if isinstance(last, linear_model.LogisticRegression) else "label"
    elif isinstance(last, tree.HoeffdingTreeRegressor):
        found, prediction = _path(last, values, {**means.sources, **sources}, None)
    elif isinstance(last, tree.HoeffdingTreeClassifier):
        unit = "log-odds"
        chances = last.predict_proba_one(values)
        likeliest = max(sorted(chances, key=str), key=lambda c: chances[c], default=None)
        found, prediction = _path(last, values, {**means.sources, **sources}, (likeliest,))
    else:
        raise TypeError(f"{type(last).__name__} has no exact contributions: sample it on demand")
    order = sorted(found.items(), key=lambda item: (-abs(item[1]), item[0]))
    rest = math.fsum(value for _, value in order[top:])
    reference = prediction - math.fsum(found.values())
    return Explanation(prediction, reference, order[:top], rest, unit)


def inputs(model: Any, x: Mapping[str, Any]) -> Seen:
    """What reaches the last step of `model` of these features."""
    values, sources = dict(x), {name: name for name in x}
    if not isinstance(model, compose.Pipeline):
        return Seen(values, sources, model)
    *steps, last = model.steps.values()
    for step in steps:
        values, sources = _through(step, values, sources)
    return Seen(values, sources, last)


def _through(
    step: Any, x: dict[str, Any], sources: dict[str, str]
) -> tuple[dict[str, Any], dict[str, str]]:
    """The step's outputs and which feature each is from; zeros of one-hot inputs are left out."""
    if isinstance(step, compose.Pipeline):
        for inner in step.steps.values():
            x, sources = _through(inner, x, sources)
        return x, sources
    if isinstance(step, compose.TransformerUnion):
        values: dict[str, Any] = {}
        names: dict[str, str] = {}
        # As River: of two that make the same name the first wins.
        for part in reversed(step.transformers.values()):
            made, came = _through(part, x, sources)
            values.update(made)
            names.update(came)
        return values, names
    out = step.transform_one(x)
    if isinstance(step, preprocessing.OneHotEncoder):
        came = {}
        for name, value in x.items():
            for one in value if isinstance(value, (list, set)) else (value,):
                came[f"{name}_{one}"] = sources[name]
        return {name: 1 for name in came if out.get(name)}, came
    return out, {name: sources.get(name, name) for name in out}


def _linear(seen: Seen, means: Means) -> tuple[dict[str, float], float]:
    found: dict[str, float] = {}
    terms = []
    values, sources, model, weights = seen
    owner, sums, count = means.sources, means.sums, max(1, means.count)
    if not sources.items() <= owner.items():
        owner = {**owner, **sources}
    for name, weight in model.weights.items() if weights is None else weights:
        value = values.get(name, 0.0)
        if value:
            terms.append(weight * value)
        source = owner.get(name, name)
        part = weight * (value - sums.get(name, 0.0) / count)
        found[source] = found.get(source, 0.0) + part
    return found, math.fsum(terms) + model.intercept


def _path(
    model: Any, values: Mapping[str, Any], sources: Mapping[str, str], label: tuple[Any] | None
) -> tuple[dict[str, float], float]:
    """Differences of node values along the path; `label` is the class of a classifier."""
    root = model._root
    if root is None:
        return {}, 0.0
    # River walks a node twice where its feature is missing and the commonest branch is taken.
    walked = root.walk(values, until_leaf=True)
    nodes = [next(same) for _, same in itertools.groupby(walked, key=id)]
    found: dict[str, float] = {}
    before = _value(nodes[0], label)
    for branch, child in itertools.pairwise(nodes):
        after = _value(child, label)
        source = sources.get(branch.feature, branch.feature)
        found[source] = found.get(source, 0.0) + after - before
        before = after
    # Asked of the tree, not the leaf: adaptive trees also hear their alternate subtrees.
    if label is None:
        said = float(model.predict_one(values))
    else:
        chances = model.predict_proba_one(values)
        total = math.fsum(chances.values()) or 1.0
        share = min(1.0 - LEAST, max(LEAST, chances.get(label[0], 0.0) / total))
        said = math.log(share / (1.0 - share))
    found[LEAF] = said - before
    return found, said


def _value(node: Any, label: tuple[Any] | None) -> float:
    """A node's mean, or the log-odds of the class among its examples, with one added to each."""
    if label is None:
        return float(node.stats.mean.get())
    own = float(node.stats.get(label[0], 0.0))
    return math.log((own + 1.0) / (math.fsum(node.stats.values()) - own + 1.0))
