"""Why this prediction: what each feature added to it, so that all of it adds up.

Linear models: weight · (value - running mean) of each feature; exact for additive models, where
these are the Shapley values under independent features (Štrumbelj & Kononenko 2014, KAIS 41(3)). Of
inputs that transformers make (one-hot, words) there may be many, of which an event has few. They
are added up by the feature that they come from, and it is given what they add now less what they
added in the mean, by the weights of then: so the cost is one for each input that the event has, and
not for each category ever seen. What such features without an input now would have added in the
mean is part of the rest. Trees: along the path, each
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
from collections.abc import Callable, Mapping
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

    `features` are those of the event; an input of another name was made by a transformer. `weight`:
    (input, 0.0) → a linear model's weight, where it is at hand without asking the step.
    """

    values: Mapping[str, Any]
    sources: Mapping[str, str]
    last: Any
    features: Mapping[str, Any]
    weight: Callable[[str, float], float] | None = None


@dataclass(slots=True)
class Means:
    """Running means of what reaches a model: `sums` of features' values, over `count` events.

    `added`: feature → what the inputs that were made of it added, all together `total`; `sources`:
    such an input → its feature. Memory: at most `names_max` names of each; those seen later have
    mean 0, and all still adds up.
    """

    names_max: int = 10_000
    count: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    added: dict[str, float] = field(default_factory=dict)
    total: float = 0.0
    sources: dict[str, str] = field(default_factory=dict)

    def update(self, model: Any, x: Mapping[str, Any]) -> None:
        """Count an event's features, with transformers and weights as they are now."""
        explained(inputs(model, x), self, 0, note=True)

    def note(self, seen: Seen, amounts: Mapping[str, float]) -> None:
        """Count an event; `amounts`: feature → what the inputs that were made of it add up to."""
        self.count += 1
        sums, added, sources = self.sums, self.added, self.sources
        for name, value in seen.values.items():
            if name in sums:
                sums[name] += value
            elif name in seen.features:
                if len(sums) < self.names_max:
                    sums[name] = value
            elif name not in sources and len(sources) < self.names_max:
                sources[name] = seen.sources.get(name, name)
        counted = []
        for source, amount in amounts.items():
            if source in added or len(added) < self.names_max:
                added[source] = added.get(source, 0.0) + amount
                counted.append(amount)
        self.total += math.fsum(counted)  # whatever the order of the inputs

    def source(self, seen: Seen, name: str) -> str:
        """Return the feature that an input was made of, in this event or an earlier one."""
        return seen.sources.get(name) or self.sources.get(name, name)


def explain(
    model: Any, x: Mapping[str, Any], means: Means, top: int = 5, *, note: bool = False
) -> Explanation:
    """Return the `top` largest contributions to the prediction of `model` for `x`, and the rest.

    With `note`, `x` is first taken into the means.

    >>> from river import linear_model
    >>> model, means = linear_model.LinearRegression(), Means()
    >>> for k in range(100):
    ...     means.update(model, {"a": k % 3, "b": k % 2})
    ...     model.learn_one({"a": k % 3, "b": k % 2}, 2.0 * (k % 3))
    >>> explanation = explain(model, {"a": 2, "b": 1}, means, top=1)
    >>> explanation.top[0][0]
    'a'
    >>> total = explanation.reference + explanation.top[0][1] + explanation.rest
    >>> abs(total - model.predict_one({"a": 2, "b": 1})) < 1e-9
    True
    """
    return explained(inputs(model, x), means, top, note=note)


def explained(seen: Seen, means: Means, top: int, *, note: bool) -> Explanation:
    """Explain the last step's prediction as `explain` does, from the inputs that reach it."""
    last, absent = seen.last, 0.0
    unit: Literal["label", "log-odds"] = "label"
    if isinstance(last, (linear_model.LinearRegression, linear_model.LogisticRegression)):
        contributions, absent, prediction = _linear(seen, means, note=note)
        unit = "log-odds" if isinstance(last, linear_model.LogisticRegression) else "label"
    elif isinstance(last, tree.HoeffdingTreeRegressor):
        contributions, prediction = _path(seen, means, None, note=note)
    elif isinstance(last, tree.HoeffdingTreeClassifier):
        unit = "log-odds"
        chances = last.predict_proba_one(seen.values)
        likeliest = max(sorted(chances, key=str), key=lambda c: chances[c], default=None)
        contributions, prediction = _path(seen, means, (likeliest,), note=note)
    else:
        raise TypeError(f"{type(last).__name__} has no exact contributions: sample it on demand")
    order = sorted(contributions.items(), key=lambda item: (-abs(item[1]), item[0]))
    rest = math.fsum((absent, *(value for _, value in order[top:])))
    reference = prediction - math.fsum((absent, *contributions.values()))
    return Explanation(prediction, reference, order[:top], rest, unit)


def inputs(model: Any, x: Mapping[str, Any]) -> Seen:
    """Return the inputs of the last step of `model` for these features."""
    values, sources = dict(x), {name: name for name in x}
    if not isinstance(model, compose.Pipeline):
        return Seen(values, sources, model, x)
    *steps, last = model.steps.values()
    for step in steps:
        values, sources = _through(step, values, sources)
    return Seen(values, sources, last, x)


def _through(
    step: Any, x: dict[str, Any], sources: dict[str, str]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the step's outputs and the feature of each, without zeros of one-hot inputs."""
    if isinstance(step, compose.Pipeline):
        for inner in step.steps.values():
            x, sources = _through(inner, x, sources)
        return x, sources
    if isinstance(step, compose.TransformerUnion):
        values: dict[str, Any] = {}
        names: dict[str, str] = {}
        # As River: of two that make the same name the first wins.
        for part in reversed(step.transformers.values()):
            outputs, came = _through(part, x, sources)
            values.update(outputs)
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


def _linear(seen: Seen, means: Means, *, note: bool) -> tuple[dict[str, float], float, float]:
    """Return contributions by feature, that of absent one-hot inputs, and the prediction."""
    values, sources, model, features, weight = seen
    if weight is None:
        weight = model._weights.get
    terms: list[float] = []
    amounts: dict[str, float] = {}
    for name, value in values.items():
        term = weight(name, 0.0) * value
        terms.append(term)
        if name not in features:
            source = sources.get(name, name)
            amounts[source] = amounts.get(source, 0.0) + term
    if note:
        means.note(seen, amounts)
    count, sums = max(1, means.count), means.sums
    contributions = {
        name: weight(name, 0.0) * (values.get(name, 0.0) - total / count)
        for name, total in sums.items()
    }
    if len(sums) >= means.names_max or not note:
        for name, value in values.items():
            if name in features and name not in sums:
                contributions[name] = weight(name, 0.0) * value
    usual = []
    for source, amount in amounts.items():
        before = means.added.get(source, 0.0)
        usual.append(before)
        contributions[source] = contributions.get(source, 0.0) + amount - before / count
    absent = math.fsum((math.fsum(usual), -means.total)) / count
    return contributions, absent, math.fsum(terms) + model.intercept


def _path(
    seen: Seen, means: Means, label: tuple[Any] | None, *, note: bool
) -> tuple[dict[str, float], float]:
    """Return the prediction, and the differences of node values along its path by feature.

    `label` is the class of a classifier.
    """
    model, values = seen.last, seen.values
    if note:
        means.note(seen, {})
    root = model._root
    if root is None:
        return {}, 0.0
    # River walks a node twice where its feature is missing and the commonest branch is taken.
    walked = root.walk(values, until_leaf=True)
    nodes = [next(same) for _, same in itertools.groupby(walked, key=id)]
    contributions: dict[str, float] = {}
    before = _value(nodes[0], label)
    for branch, child in itertools.pairwise(nodes):
        after = _value(child, label)
        source = means.source(seen, branch.feature)
        contributions[source] = contributions.get(source, 0.0) + after - before
        before = after
    # Asked of the tree, not the leaf: adaptive trees also hear their alternate subtrees.
    if label is None:
        prediction = float(model.predict_one(values))
    else:
        chances = model.predict_proba_one(values)
        total = math.fsum(chances.values()) or 1.0
        share = min(1.0 - LEAST, max(LEAST, chances.get(label[0], 0.0) / total))
        prediction = math.log(share / (1.0 - share))
    contributions[LEAF] = prediction - before
    return contributions, prediction


def _value(node: Any, label: tuple[Any] | None) -> float:
    """Return a node's mean, or its class's log-odds with one example added to each side."""
    if label is None:
        return float(node.stats.mean.get())
    own = float(node.stats.get(label[0], 0.0))
    return math.log((own + 1.0) / (math.fsum(node.stats.values()) - own + 1.0))
