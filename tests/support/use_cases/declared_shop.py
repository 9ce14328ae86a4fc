"""A use case without mistakes, as a source in which a test changes one thing."""

from __future__ import annotations

import sys
from types import ModuleType

from models.spec.use_case import UseCase
from models.validation import mistakes
from schemas.errors import ConfigError

SOURCE = """
from __future__ import annotations
from river import compose, linear_model, multiclass, neighbors, optim, preprocessing, tree
from models.values.durations import days, hours, minutes
from models.spec.use_case import Contest, Kpi, Price, Promotion, Segments, UseCase
from models.features.window_declarations import over_events, over_outcomes
from schemas.events import Event, Outcome

class Asked(Event):
    shop: str
    city: str
    price: float
    note: str | None = None

class Told(Outcome):
    amount: float

FEATURES = {
    **Asked.fields("shop", "price"),
    "hour": lambda event: event.event_time.hour,
    "queue": over_events(by="shop", last=minutes(30)).count(),
    "usual": over_outcomes(by=("shop", "city"), half_life=days(20)).mean(
        lambda event, outcome, features: outcome.amount, empty=0.0
    ),
}

SHARED = optim.SGD(0.1)
ONE = linear_model.LinearRegression()
MODELS = {
    "linear": lambda: compose.Select("price") | linear_model.LinearRegression(),
    "tree": lambda: compose.Select("price") | tree.HoeffdingTreeRegressor(),
}

def recorded():
    for n in range(12):
        time = f"2024-01-01T{n:02}:00:00Z"
        after = f"2024-01-01T{n:02}:30:00Z"
        row = {"event_id": f"e{n}", "shop": "a", "city": "x", "price": 1.0 + n}
        yield "event", {**row, "event_time": time}
        yield "outcome", {"event_id": f"e{n}", "outcome_time": after, "amount": 2.0 + n}

SHOP = UseCase(
    name="shop",
    owner="shop@example.com",
    event=Asked,
    outcome=Told,
    key="shop",
    label=lambda event, outcome: outcome.amount,
    features=FEATURES,
    models=MODELS,
    champion="linear",
    baseline=lambda event: event.price,
    metric="mae",
    kpi=Kpi(
        lambda event, outcome, said: abs(said - outcome.amount),
        unit="EUR",
        better="lower",
        range=(0, 100),
    ),
    horizon=hours(24),
    recorded=recorded,
)
"""
LAST = "    recorded=recorded,\n)"


def declared(source: str) -> UseCase:
    """The use case that a source makes."""
    module = ModuleType("usecases.declared_here")
    sys.modules[module.__name__] = module
    exec(compile(source, "declared_here.py", "exec"), vars(module))
    return next(value for value in vars(module).values() if isinstance(value, UseCase))


def changed(old: str, new: str) -> tuple[str, int]:
    """The source with one place changed, and the line on which the change begins."""
    assert SOURCE.count(old) == 1, old
    at = SOURCE.index(old)
    return SOURCE.replace(old, new), SOURCE.count("\n", 0, at) + 1


def the_one(old: str, new: str, *, below: int = 0) -> ConfigError:
    """The one mistake of the changed source, at the line of the change."""
    source, line = changed(old, new)
    errors = mistakes(declared(source), source)
    assert [m.reason for m in errors] == [errors[0].reason]
    assert errors[0].line == line + below
    assert errors[0].hint
    return errors[0]


def added(field: str) -> ConfigError:
    """The one mistake when a field is added to the use case."""
    return the_one(LAST, f"    {field},\n{LAST}")
