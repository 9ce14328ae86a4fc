"""What every system runs: the same River models on the same features, one set a partition.

Five numbers through a StandardScaler, five categories one-hot, then a LinearRegression under
absolute loss. Needs only River, so that each peer's environment can import it.
"""

from __future__ import annotations

from numbers import Number
from typing import Any

from river import compose, linear_model, optim, preprocessing

NUMBERS = ("minute_of_day", "block", "distance", "dep_delay", "temp")
CATEGORIES = ("carrier", "origin", "dest", "hour", "weekday")
FEATURES = (*NUMBERS, *CATEGORIES)


def linear(optimizer: Any) -> Any:
    """The one kind of model of this benchmark."""
    numbers = compose.SelectType(Number) | preprocessing.StandardScaler()
    names = compose.SelectType(str) | preprocessing.OneHotEncoder()
    return (numbers + names) | linear_model.LinearRegression(
        optimizer=optimizer, loss=optim.losses.Absolute()
    )


MODELS = {
    "adam": lambda: linear(optim.Adam(0.02)),
    "slower": lambda: linear(optim.Adam(0.005)),
    "faster": lambda: linear(optim.Adam(0.08)),
    "sgd": lambda: linear(optim.SGD(0.02)),
    "adagrad": lambda: linear(optim.AdaGrad(0.3)),
}


class Loop:
    """The plain loop around the models of each partition: predict, wait, learn.

    At least this is in every system without riverrun: the event's features wait in a dictionary,
    which is lost with the process.
    """

    def __init__(self, models: int = 1) -> None:
        self._names = list(MODELS)[:models]
        self._models: dict[int, list[Any]] = {}
        self._waiting: dict[str, tuple[dict[str, Any], float]] = {}

    def event(self, partition: int, body: dict[str, Any]) -> tuple[dict[str, Any], float]:
        """Features and prediction of an event."""
        models = self._models.get(partition)
        if models is None:
            models = self._models[partition] = [MODELS[name]() for name in self._names]
        x = {name: body[name] for name in FEATURES}
        prediction, *_ = [float(model.predict_one(x)) for model in models]
        self._waiting[body["event_id"]] = (x, prediction)
        return x, prediction

    def outcome(self, partition: int, body: dict[str, Any]) -> tuple[dict[str, Any], float]:
        """Learn an outcome: the features and what was said then."""
        x, prediction = self._waiting.pop(body["event_id"])
        for model in self._models[partition]:
            model.learn_one(x, body["arr_delay"])
        return x, prediction

    def record(self, partition: int, body: dict[str, Any]) -> dict[str, Any] | None:
        """One record of either kind; what is to be published of an event."""
        if "arr_delay" in body:
            self.outcome(partition, body)
            return None
        _, prediction = self.event(partition, body)
        return {"event_id": body["event_id"], "event_time": body["event_time"], "value": prediction}
