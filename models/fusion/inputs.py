"""From features to the inputs of the linear model that are not zero, in River's order.

The order matters: a sum of floats depends on it. River adds up a vector of all inputs; those that
are zero add nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any, NamedTuple

from models.fusion.shape import Shape

Features = dict[str, Any]
Active = dict[str, float]
"""Inputs by name, in the order in which River has them."""


class Unlike(Exception):
    """An example for which River's own code is to be asked."""


class Parted(NamedTuple):
    """Features by what is done with them; `made` are the names of one-hot inputs."""

    numbers: Features
    names: Features
    made: list[str]


class Inputs:
    """The transformers of a shape: River's own, without what River does around them."""

    def __init__(self, shape: Shape) -> None:
        self._scaler = shape.scaler
        self._encoder = shape.encoder
        self._names_first = shape.names_first
        self.numbers: set[str] = set()
        # Where each one-hot input stands: in the order of first sight, which River keeps.
        self._places: dict[str, int] = {}
        self._order: list[str] = []
        self._clash = False
        self._look()

    def part(self, x: Features) -> Parted:
        """`x` by type; raises `Unlike` for what River is to be asked, before anything changes."""
        if self._encoder is None:
            return Parted(x, {}, [])
        numbers: Features = {}
        names: Features = {}
        made: list[str] = []
        for name, value in x.items():
            kind = type(value)
            if kind is float or kind is int or kind is bool:
                numbers[name] = value
            elif kind is str:
                names[name] = value
                made.append(f"{name}_{value}")
            else:
                raise Unlike
        self._check(numbers, made)
        return Parted(numbers, names, made)

    def _check(self, numbers: Features, made: list[str]) -> None:
        """Two inputs of one name have an order of their own."""
        known, places = self.numbers, self._places
        if not numbers.keys() <= known:
            known.update(numbers)
            self._clash = self._clash or not known.isdisjoint(places)
        if not known.isdisjoint(made):
            self._clash = True
        if self._clash:
            raise Unlike

    def learn(self, parted: Parted) -> None:
        """The transformers learn."""
        self._scaler.learn_one(parted.numbers)
        if self._encoder is not None:
            self._encoder.learn_one(parted.names)

    def active(self, parted: Parted) -> Active:
        """The inputs that are not zero."""
        scaled: Active = self._scaler.transform_one(parted.numbers)
        if self._encoder is None:
            return scaled
        found = self._found(parted.made)
        return found | scaled if self._names_first else scaled | found

    def _found(self, made: list[str]) -> Active:
        """One-hot inputs that are 1; those never learnt come after all others."""
        assert self._encoder is not None
        if self._encoder.drop_zeros:
            return dict.fromkeys(made, 1)
        if len(self._encoder._zero_dict) != len(self._places):
            self._look()
        order, places = self._order, self._places
        known = [places[name] for name in made if name in places]
        known.sort()
        active: Active = {order[place]: 1 for place in known}
        if len(active) != len(made):
            active |= dict.fromkeys(made, 1)
        return active

    def _look(self) -> None:
        """One-hot inputs that came since the last look."""
        zeros = () if self._encoder is None else self._encoder._zero_dict
        for name in islice(zeros, len(self._places), None):
            self._places[name] = len(self._places)
            self._order.append(name)

    def known(self, inputs: Iterable[str]) -> None:
        """All inputs of the linear model so far: those that are not one-hot are numbers."""
        self._look()
        self.numbers.update(name for name in inputs if name not in self._places)
