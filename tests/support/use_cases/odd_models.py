"""Models that answer what a case says: numbers and classes at the edge, and errors."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from river import base, linear_model, multiclass, naive_bayes, preprocessing, tree


class Says:
    """A model that says the same of everything, and learns nothing."""

    def __init__(self, answer: Any = 0.0) -> None:
        self.answer = answer

    def predict_one(self, x: Any) -> Any:
        """What it says."""
        if isinstance(self.answer, type):
            raise self.answer("no answer")
        return self.answer

    def predict_proba_one(self, x: Any) -> Any:
        """The same, as probabilities where it is one."""
        if self.answer is None or isinstance(self.answer, dict | type):
            return self.predict_one(x)
        return {
            True: self.answer,
            False: 1.0 - self.answer if isinstance(self.answer, float) else 0,
        }

    def learn_one(self, x: Any, y: Any, w: float = 1.0) -> None:
        """Nothing; some fail at it."""
        if self.answer is OverflowError:
            raise OverflowError("too large")


class SaysNumber(Says, base.Regressor):
    """Of numbers."""


class SaysClass(Says, base.Classifier):
    """Of classes."""

    @property
    def _multiclass(self) -> bool:
        return True


NUMERIC: dict[str, Callable[[], Any]] = {
    "linear": lambda: preprocessing.StandardScaler() | linear_model.LinearRegression(),
    "raw": linear_model.LinearRegression,
    "tree": tree.HoeffdingTreeRegressor,
}
CLASSES: dict[str, Callable[[], Any]] = {
    "logistic": lambda: preprocessing.StandardScaler() | linear_model.LogisticRegression(),
    "bayes": naive_bayes.GaussianNB,
    "tree": tree.HoeffdingTreeClassifier,
}
MANY = CLASSES | {
    "logistic": lambda: multiclass.OneVsRestClassifier(linear_model.LogisticRegression())
}
ANSWERS: dict[str, Any] = {
    "nan": math.nan,
    "inf": -math.inf,
    "none": None,
    "zero": 0.0,
    "huge": 1e308,
    "raises": ValueError,
    "fails to learn": OverflowError,
    "empty": {},
    "nan class": {"a": math.nan, "b": 1.0},
    "unseen class": {"never seen": 1.0},
    "all nothing": {"a": 0.0, "b": 0.0},
    "text": "x",
}
