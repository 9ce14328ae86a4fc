"""From features to the inputs of the linear model that are not zero, in River's order.

The order matters: a sum of floats depends on it. River adds up a vector of all inputs; those that
are zero add nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any, NamedTuple

from models.fastpath.pattern import PipelinePattern

Features = dict[str, Any]
Active = dict[str, float]
"""Inputs by name, in the order in which River has them."""


class Unlike(Exception):
    """An example for which River's own code is to be asked."""


class Parted(NamedTuple):
    """Features by what is done with them; `categories` are the names of one-hot inputs."""

    numbers: Features
    names: Features
    categories: list[str]


class Parting:
    """Features by their types alone. All models are asked one after the other from the same ones,
    and learn from them so: they are parted once.
    """

    def __init__(self) -> None:
        self._last: tuple[Features, Parted] = {}, Parted({}, {}, [])

    def __call__(self, x: Features) -> Parted:
        """Part `x`; raise `Unlike` for a value that is neither number nor text."""
        if x is self._last[0]:
            return self._last[1]
        numbers: Features = {}
        names: Features = {}
        categories: list[str] = []
        for name, value in x.items():
            kind = type(value)
            if kind is float or kind is int or kind is bool:
                numbers[name] = value
            elif kind is str:
                names[name] = value
                categories.append(f"{name}_{value}")
            else:
                raise Unlike
        self._last = x, Parted(numbers, names, categories)
        return self._last[1]


_parted = Parting()


class FeatureEncoder:
    """The transformers of a shape: River's own, without what River does around them."""

    def __init__(self, shape: PipelinePattern) -> None:
        self._scaler = shape.scaler
        self._encoder = shape.encoder
        self._names_first = shape.names_first
        self.numbers: set[str] = set()
        # Where each one-hot input stands: in the order of first sight, which River keeps.
        self._indices: dict[str, int] = {}
        self._clash = False
        self._look()

    def part(self, x: Features) -> Parted:
        """Part `x` by type; raise `Unlike`, before any change, where River has to predict."""
        if self._encoder is None:
            return Parted(x, {}, [])
        parted = _parted(x)
        self._check(parted.numbers, parted.categories)
        return parted

    def _check(self, numbers: Features, categories: list[str]) -> None:
        """Raise `Unlike` where two inputs have one name: River orders these differently."""
        known, indices = self.numbers, self._indices
        if not numbers.keys() <= known:
            known.update(numbers)
            self._clash = self._clash or not known.isdisjoint(indices)
        if not known.isdisjoint(categories):
            self._clash = True
        if self._clash:
            raise Unlike

    def learn(self, parted: Parted) -> Active:
        """Let the transformers learn; return the inputs that are not zero after that."""
        if self._encoder is not None and not self._encoder.drop_zeros:
            self._encode(self._encoder, parted.names)
        if not self._scaler.with_std:
            self._scaler.learn_one(parted.numbers)
            return self.active(parted)
        return self._joined(self._scaled(parted.numbers), parted.categories)

    @staticmethod
    def _encode(encoder: Any, names: Features) -> None:
        """Do `OneHotEncoder.learn_one`, but skip values that it knows."""
        seen = encoder.values
        for name, value in names.items():
            if value not in seen[name]:
                encoder.learn_one(names)
                return

    def _scaled(self, numbers: Features) -> Active:
        """Do `StandardScaler.learn_one`, then `transform_one`, in one pass."""
        counts, means, variances = self._scaler.counts, self._scaler.means, self._scaler.vars
        scaled: Active = {}
        for name, value in numbers.items():
            count = counts[name] = counts[name] + 1
            before = means[name]
            mean = means[name] = before + (value - before) / count
            spread = variances[name]
            spread += ((value - before) * (value - mean) - spread) / count
            variances[name] = spread
            scaled[name] = (value - mean) / spread**0.5 if spread else 0.0
        return scaled

    def active(self, parted: Parted) -> Active:
        """Return the inputs that are not zero."""
        scaler = self._scaler
        if not scaler.with_std:
            return self._joined(scaler.transform_one(parted.numbers), parted.categories)
        means, variances = scaler.means, scaler.vars
        scaled: Active = {}
        for name, value in parted.numbers.items():
            spread = variances[name]
            scaled[name] = (value - means[name]) / spread**0.5 if spread else 0.0
        return self._joined(scaled, parted.categories)

    def _joined(self, scaled: Active, categories: list[str]) -> Active:
        if self._encoder is None:
            return scaled
        one_hot = self._one_hot(categories)
        return one_hot | scaled if self._names_first else scaled | one_hot

    def _one_hot(self, categories: list[str]) -> Active:
        """Return the one-hot inputs that are 1; those never learnt come last."""
        assert self._encoder is not None
        if self._encoder.drop_zeros:
            return dict.fromkeys(categories, 1)
        if len(self._encoder._zero_dict) != len(self._indices):
            self._look()
        indices = self._indices
        try:
            known = sorted(categories, key=indices.__getitem__)
        except KeyError:
            known = sorted(filter(indices.__contains__, categories), key=indices.__getitem__)
            known += categories
        return dict.fromkeys(known, 1)

    def _look(self) -> None:
        """Add the one-hot inputs that came since the last call."""
        zeros = () if self._encoder is None else self._encoder._zero_dict
        for name in islice(zeros, len(self._indices), None):
            self._indices[name] = len(self._indices)

    def known(self, inputs: Iterable[str]) -> None:
        """Note all inputs of the linear model: those that are not one-hot are numbers."""
        self._look()
        self.numbers.update(name for name in inputs if name not in self._indices)
