"""Every mistake that a use case can hold is found, at its line, with a way to mend it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from models.declaration import Lines, Trial, first, mistakes, running, sample
from models.declaration.naming import SHAPES
from models.usecase import UseCase
from schemas.errors import Misdeclared

SOURCE = """
from __future__ import annotations
from river import compose, linear_model, multiclass, neighbors, optim, preprocessing, tree
from models.durations import days, hours, minutes
from models.usecase import Contest, Kpi, Price, Promotion, Segments, UseCase
from models.windows import over_events, over_outcomes
from schemas.inputs import Event, Outcome

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


def the_one(old: str, new: str, *, below: int = 0) -> Misdeclared:
    """The one mistake of the changed source, at the line of the change."""
    source, line = changed(old, new)
    found = mistakes(declared(source), source)
    assert [m.reason for m in found] == [found[0].reason]
    assert found[0].line == line + below
    assert found[0].mend
    return found[0]


def added(field: str) -> Misdeclared:
    """The one mistake when a field is added to the use case."""
    return the_one(LAST, f"    {field},\n{LAST}")


def test_a_use_case_without_mistakes_has_none() -> None:
    """The source that all other tests change is right."""
    assert mistakes(declared(SOURCE), SOURCE) == []


NAMES = [
    ('name="shop"', 'name="Shop 1"', "topic's name", "shop"),
    ('name="shop"', "name=7", "name is 7", "text"),
    ('owner="shop@example.com"', 'owner=" "', "owner is empty", "asked"),
    ("event=Asked", "event=dict", "event is", "inherits from Event"),
    ("outcome=Told", "outcome=Asked", "outcome is", "inherits from Outcome"),
]


@pytest.mark.parametrize(("old", "new", "reason", "mend"), NAMES)
def test_wrong_names_and_types_are_found(old: str, new: str, reason: str, mend: str) -> None:
    """Name, owner and record types."""
    found = the_one(f"    {old}", f"    {new}")
    assert reason in found.reason
    assert mend in found.mend


KEYS = [
    ("shpo", "not a field of Asked", '"shop"'),
    ("note", "may be None", "without None"),
    ("price", "is a float", "text or a whole number"),
]


@pytest.mark.parametrize(("key", "reason", "mend"), KEYS)
def test_a_key_that_cannot_be_one_is_found(key: str, reason: str, mend: str) -> None:
    """It must be a field, always there, and the same text in every language."""
    source, line = changed('key="shop"', f'key="{key}"')
    found = [m for m in mistakes(declared(source), source) if m.line == line]
    assert reason in found[0].reason
    assert mend in found[0].mend


FUNCTIONS = [
    ("label=lambda event, outcome: outcome.amount", "label=lambda outcome: 1.0", "takes (outcome)"),
    ("label=lambda event, outcome: outcome.amount", "label=1.0", "label is 1.0"),
    ("baseline=lambda event: event.price", "baseline=lambda: 1.0", "takes (nothing)"),
    ("recorded=recorded", "recorded=lambda path: []", "takes (path)"),
    ("horizon=hours(24)", "horizon=hours(24), weight=lambda event: 1.0", "takes (event)"),
]


@pytest.mark.parametrize(("old", "new", "reason"), FUNCTIONS)
def test_a_function_with_other_arguments_is_found(old: str, new: str, reason: str) -> None:
    """What is called with (event, outcome) must take them."""
    source, line = changed(f"    {old}", f"    {new}")
    found = [m for m in mistakes(declared(source), source) if reason in m.reason]
    assert [m.line for m in found] == [line]
    assert found[0].mend


def test_an_async_function_is_found() -> None:
    """The loop calls plain functions; a coroutine would be a label that is never a number."""
    old = "SHOP = UseCase("
    source, _ = changed(old, f"async def label(event, outcome): ...\n\n{old}")
    source = source.replace("label=lambda event, outcome: outcome.amount", "label=label")
    assert "async" in mistakes(declared(source), source)[0].reason


FEATURES = [
    ('"queue": over', '"queue": over_events(by="shop", last=1.0),\n    "q": over', "not what of"),
    ('**Asked.fields("shop", "price")', '**Asked.fields("shop", "prize")', '"price"?'),
    ('by="shop", last=minutes(30)', 'by="shpo", last=minutes(30)', "neither a field"),
    ('by="shop", last=minutes(30)', 'by="city", last=minutes(30)', "without the key 'shop'"),
    ('by="shop", last=minutes(30)', 'by=("shop", "usual"), last=1.0', "computed later"),
    ('by="shop", last=minutes(30)', 'by="shop"', "neither last and half_life"),
    ('by="shop", last=minutes(30)', 'by="shop", last=1.0, half_life=1.0', "both last"),
    ('by="shop", last=minutes(30)', 'by="shop", last=-1.0', "last=-1.0"),
    ('by="shop", last=minutes(30)', 'by="shop", last=1.0, keys=0', "keys=0"),
    ("lambda event: event.event_time.hour", "3", "neither a field, a window nor a function"),
    ("lambda event: event.event_time.hour", "lambda: 3", "takes (nothing)"),
    ("lambda event: event.event_time.hour", "lambda a, b, c: 3", "takes (a, b, c)"),
    ("lambda event: event.event_time.hour", "lambda event, scale=2: 3", "has scale"),
    ("amount, empty=0.0\n    ),", 'amount, empty=0.0\n    ),\n    "city": hash,', "later"),
    ('"hour": lambda event: event.event_time.hour', '"shop": lambda event: 1', "name of the key"),
    ("features: outcome.amount, empty", "features: 1.0, weight=-1, empty", "weight=-1"),
    ("features: outcome.amount, empty=0.0", "features: 1.0", "while nothing was counted"),
    ("features: outcome.amount, empty=0.0", 'features: 1.0, prior="quue"', "which is no feature"),
    ("features: outcome.amount, empty=0.0", 'features: 1.0, prior="shop"', "than a number"),
    ("features: outcome.amount, empty=0.0", 'features: 1.0, prior="usual"', "computed later"),
    ("event, outcome, features: outcome.amount, empty", "event, x: 1.0, empty", "takes (event, x)"),
]


@pytest.mark.parametrize(("old", "new", "text"), FEATURES)
def test_a_wrong_feature_or_window_is_found(old: str, new: str, text: str) -> None:
    """Each is found at its own line or at its argument's, and says how to mend it."""
    source, line = changed(old, new)
    found = [m for m in mistakes(declared(source), source) if text in f"{m.reason} {m.mend}"]
    assert len(found) == 1, [m.reason for m in mistakes(declared(source), source)]
    assert found[0].line is not None
    assert abs(found[0].line - line) <= 1
    assert found[0].mend


def test_a_window_that_lacks_the_key_says_why() -> None:
    """The rule surprises, so the reason says what a partition sees."""
    found = the_one('by="shop", last=minutes(30)', 'by="city", last=minutes(30)')
    assert "its own partition only" in found.reason
    assert found.mend.startswith('Write by=("shop", "city")')


@pytest.mark.parametrize("aggregate", ["min", "max"])
def test_an_extreme_that_decays_is_found(aggregate: str) -> None:
    """A smallest or largest value cannot fade."""
    found = the_one(
        'over_events(by="shop", last=minutes(30)).count()',
        f'over_events(by="shop", half_life=1.0).{aggregate}(lambda event, x: 1.0, empty=0.0)',
    )
    assert "decays" in found.reason


MODELS = [
    ('"linear": lambda: compose', '"served": lambda: compose', "means something else"),
    ('"tree": lambda: compose', '"a b": lambda: compose', "part of a version"),
    ('"tree": lambda: compose.Select("price") |', '"tree":', "not a function"),
    ('"tree": lambda: compose', '"tree": lambda x: compose', "takes (x)"),
    ('"tree": lambda: compose', '"tree": lambda: 1 / 0 or compose', "ZeroDivisionError"),
    ('lambda: compose.Select("price") | tree.HoeffdingTreeRegressor()', "lambda: ONE", "same"),
    ("tree.HoeffdingTreeRegressor()", "linear_model.LinearRegression(SHARED)", "shares its SGD"),
    ("tree.HoeffdingTreeRegressor()", "preprocessing.StandardScaler()", "needs a regressor"),
    ("tree.HoeffdingTreeRegressor()", "tree.HoeffdingTreeClassifier()", "needs a regressor"),
]


@pytest.mark.parametrize(("old", "new", "reason"), MODELS)
def test_a_wrong_model_is_found(old: str, new: str, reason: str) -> None:
    """Its name, its function, its kind, and that nothing is shared between two that are made."""
    source, line = changed(old, new)
    found = [m for m in mistakes(declared(source), source) if reason in m.reason]
    assert [m.line for m in found] == [line]
    assert found[0].mend


def test_a_model_that_cannot_weigh_is_found() -> None:
    """River drops a weight that an estimator does not take, without a word."""
    source, _ = changed(LAST, f"    weight=lambda event, outcome: 1.0,\n{LAST}")
    source = source.replace("tree.HoeffdingTreeRegressor()", "neighbors.KNNRegressor()")
    assert "does not learn with weights" in mistakes(declared(source), source)[0].reason


def test_a_model_for_two_classes_is_no_model_for_many() -> None:
    """River's LogisticRegression learns one of many classes silently wrong."""
    source = SOURCE.replace('metric="mae"', 'metric="accuracy", kind="multiclass"')
    source = source.replace("LinearRegression()", "LogisticRegression()")
    source = source.replace("HoeffdingTreeRegressor", "HoeffdingTreeClassifier")
    reasons = [m.reason for m in mistakes(declared(source), source)]
    assert reasons == ["model 'linear' ends in a LogisticRegression, which knows two classes only."]


ANSWERS = [
    ('champion="linear"', 'champion="liner"', "not one of the models", '"linear"'),
    ('metric="mae"', 'metric="f1"', "regression", "mae, rmse"),
    ('metric="mae"', 'metric="mae", kind="regresion"', "not known", '"regression"'),
    ("horizon=hours(24)", "horizon=0.0", "horizon is 0 s", "positive"),
    ("horizon=hours(24)", 'horizon="1 day"', "horizon is '1 day'", "number"),
]


@pytest.mark.parametrize(("old", "new", "reason", "mend"), ANSWERS)
def test_a_wrong_answer_is_found(old: str, new: str, reason: str, mend: str) -> None:
    """Champion, metric, kind and horizon."""
    found = the_one(f"    {old}", f"    {new}")
    assert reason in found.reason
    assert mend in found.mend


KPI = [
    ('unit="EUR"', 'unit=""', "no unit"),
    ('better="lower"', 'better="less"', "'less'"),
    ("range=(0, 100)", "range=(100, 0)", "does not bound it"),
    ("range=(0, 100)", 'range=(0, float("inf"))', "does not bound it"),
    ("lambda event, outcome, said: abs(said - outcome.amount)", "lambda said: 1.0", "takes (said)"),
]


@pytest.mark.parametrize(("old", "new", "reason"), KPI)
def test_a_wrong_kpi_is_found(old: str, new: str, reason: str) -> None:
    """Cost, unit, direction and range, each at its own line inside of `Kpi(...)`."""
    assert reason in the_one(old, new).reason


FIELDS = [
    ("limits=(10, 1)", "not in order"),
    ("limits=(0, None)", "limits is (0, None)"),
    ("interval=90", "no share"),
    ("never=True", "never"),
    ('learns="baseline"', "not known"),
    ("memory=60.0", "less than the horizon"),
    ("partitions=0", "partitions is 0"),
    ("partitions=True", "partitions is True"),
    ("window=0.0", "window is 0 s"),
    ("max_jump=0.0", "max_jump is 0 s"),
    ("jump_agree=0", "jump_agree is 0"),
    ("warmup=-1", "warmup is -1"),
    ("waiting_limit=0", "waiting_limit is 0"),
    ("early_limit=0", "early_limit is 0"),
    ('watch=["quue"]', "no feature"),
    ('hidden=["quue"]', "no feature"),
    ("hidden=list(FEATURES)", "every feature is hidden"),
    ("hidden='usual'", "hidden is 'usual'"),
    ("explain=-1", "explain is -1"),
    ('segments=Segments("cty")', "not a field"),
    ('segments=Segments("city", limit=0)', "limit=0"),
    ('segments=Segments("city", models=("trees",))', "which there is not"),
    ("segments=Segments(lambda: 1)", "takes (nothing)"),
    ('slices={"where": "cty"}', "not a field"),
    ('slices={"a=b": "city"}', "no usable name"),
    ("slices={'where': 3}", "neither a field nor a function"),
    ("contest=Contest(shadow=1.5)", "shadow=1.5"),
    ("contest=Contest(holdout=-0.1)", "holdout=-0.1"),
    ('contest=Contest(experiment={"trees": 0.1})', "which there is not"),
    ('contest=Contest(experiment={"tree": 2})', "no share"),
    ('contest=Contest(experiment={"tree": 0.7}, holdout=0.5)', "take 1.2"),
    ('contest=Contest(unit="cty")', "not a field"),
    ('promotion=Promotion("auto")', "'auto'"),
    ("promotion=Promotion(after=0)", "after=0"),
    ("promotion=Promotion(margin=-1)", "margin=-1"),
    ('promotion=Promotion(guard="f1")', "does not have"),
    ("price=Price(per_day=-1)", "per_day is -1"),
    ('targets={"accuracy": 0.9}', "not measured"),
    ('targets={"freshness": 0}', "freshness is 0"),
    ('topics={"event": "visits"}', "no topic of a use case"),
    ('topics={"events": "a b"}', "no name that Kafka takes"),
    ('topics={"events": "x", "outcomes": "x"}', "for both events and outcomes"),
]


@pytest.mark.parametrize(("field", "reason"), FIELDS)
def test_a_wrong_field_is_found(field: str, reason: str) -> None:
    """Bounds, shares, names of fields, models and topics."""
    source, line = changed(LAST, f"    {field},\n{LAST}")
    found = [m for m in mistakes(declared(source), source) if reason in m.reason]
    assert [m.line for m in found] == [line], [m.reason for m in mistakes(declared(source), source)]
    assert found[0].mend


def test_what_only_a_number_has_is_refused_of_classes() -> None:
    """Limits, and a label minus a baseline."""
    source = SOURCE.replace('metric="mae"', 'metric="accuracy", kind="binary", limits=(0, 1)')
    source = source.replace('champion="linear"', 'champion="linear", learns="label - baseline"')
    source = source.replace("LinearRegression()", "LogisticRegression()")
    source = source.replace("HoeffdingTreeRegressor", "HoeffdingTreeClassifier")
    reasons = [m.reason for m in mistakes(declared(source), source)]
    assert len(reasons) == 2
    assert "no limits" in reasons[1]
    assert "not a label" in reasons[0]


def test_every_field_of_a_use_case_is_checked() -> None:
    """One that is added to `UseCase` is added to the checks; `never` depends on the kind."""
    assert {field.name for field in fields(UseCase)} - set(SHAPES) == {"never"}


def test_all_mistakes_are_found_at_once() -> None:
    """An author mends a file once, not once for each mistake."""
    source = SOURCE.replace('unit="EUR"', 'unit=""').replace('key="shop"', 'key="sop"')
    source = source.replace("hours(24)", "-1.0").replace('"linear": lambda', '"baseline": lambda')
    lines = [m.line for m in mistakes(declared(source), source)]
    assert len(lines) >= 5
    assert lines == sorted(lines, key=lambda line: line or 0)


def test_without_a_source_mistakes_have_no_line() -> None:
    """A use case that was made at a prompt is checked, too."""
    use_case = declared(SOURCE.replace('unit="EUR"', 'unit=""'))
    assert [m.line for m in mistakes(use_case)] == [None]


PLACES = [
    ('UseCase(features={"a": 1})', ("features", "a"), 1),
    ('F = {}\nF["a"] = 1\nUseCase(features=F)', ("features", "a"), 2),
    ('A = {\n"a": 1}\nF = {**A}\nUseCase(features=F)', ("features", "a"), 2),
    ('A = {\n"a": 1}\nUseCase(features=A | {"b": 2})', ("features", "a"), 2),
    ("UseCase(features=dict(\na=1))", ("features", "a"), 2),
    ('UseCase(\nfeatures=E.fields(\n"a"))', ("features", "a"), 3),
    ("K = Kpi(cost,\nunit='')\nUseCase(kpi=K)", ("kpi", "unit"), 2),
    ("UseCase(kpi=Kpi(\ncost))", ("kpi", "cost"), 2),
    ("UseCase(\nfeatures=made())", ("features", "a"), 2),
    ("UseCase()", ("horizon",), 1),
    ("x = 1", ("horizon",), None),
    ("not python", ("horizon",), None),
]


@pytest.mark.parametrize(("source", "place", "line"), PLACES)
def test_a_place_is_found_however_it_is_written(
    source: str, place: tuple[str, ...], line: int | None
) -> None:
    """Through names, joined dictionaries and calls; else the nearest line that is known."""
    assert Lines(source).of(*place) == line


# On data.


def tried(old: str, new: str) -> tuple[Trial, int]:
    """What running the changed source finds, and the line of the change."""
    source, line = changed(old, new)
    use_case = declared(source)
    return running(use_case, first(use_case), source), line


def test_running_takes_ten_events_and_their_outcomes() -> None:
    """The first ten events, with what the world answered to them."""
    trial, _ = tried("range(12)", "range(12)")
    assert (trial.events, trial.outcomes, trial.mistakes) == (10, 10, [])
    assert len(trial.examples) == 10


def test_outcomes_that_come_long_after_are_found_too() -> None:
    """The ten first events of a stream have their outcomes thousands of records later."""

    def late() -> Iterator[tuple[str, Mapping[str, Any]]]:
        for n in range(5_000):
            yield "event", {"event_id": str(n)}
        for n in range(5_000):
            yield "outcome", {"event_id": str(n)}

    rows = list(sample(late()))
    assert [kind for kind, _ in rows].count("outcome") == 10


BROKEN = [
    ("lambda event: event.event_time.hour", "lambda event: event.hour", "feature 'hour' failed"),
    ("lambda event: event.event_time.hour", "lambda event, x: x['usual']", "KeyError: 'usual'"),
    ("lambda event: event.event_time.hour", 'lambda event: float("nan")', "must be finite"),
    ("lambda event: event.price", "lambda event: None", "the baseline failed"),
    ("lambda event, outcome: outcome.amount", "lambda event, outcome: None", "nothing can be"),
    ("abs(said - outcome.amount)", "None", "KPI's cost of event 'e0' is None"),
    ("abs(said - outcome.amount)", "1 / 0", "ZeroDivisionError"),
    ('"tree": lambda: compose.Select("price")', '"tree": lambda: compose.Select("no")', "failed"),
]


@pytest.mark.parametrize(("old", "new", "reason"), BROKEN)
def test_a_function_that_fails_on_the_data_is_found(old: str, new: str, reason: str) -> None:
    """Only running can tell, and it tells once, at the function's own line."""
    trial, line = tried(old, new)
    found = [m for m in trial.mistakes if reason in m.reason]
    assert [m.line for m in found] == [line], [(m.line, m.reason) for m in trial.mistakes]
    assert found[0].mend


RECORDED = [
    ('"price": 1.0 + n}', '"price": "cheap"}', "price"),
    ('"price": 1.0 + n}', '"price": {1, 2}}', "TypeError"),
    ('yield "event", {**row, "event_time": time}', 'yield "evnt", {}', "it gave 'evnt'"),
    ("range(12)", "reversed(range(12))", "after a later record"),
    ("range(12)", "[1 / 0]", "ZeroDivisionError"),
]


@pytest.mark.parametrize(("old", "new", "reason"), RECORDED)
def test_recorded_data_that_cannot_be_used_is_found(old: str, new: str, reason: str) -> None:
    """Wrong fields, no JSON, another kind, another order, a generator that fails."""
    trial, _ = tried(old, new)
    at = SOURCE[: SOURCE.index("    recorded=recorded")].count("\n") + 1
    found = [m for m in trial.mistakes if reason in m.reason]
    assert [m.line for m in found] == [at], [(m.line, m.reason) for m in trial.mistakes]


def test_a_kpi_outside_its_range_is_doubted() -> None:
    """It is cut to the range, which the author may not have meant."""
    trial, _ = tried("range=(0, 100)", "range=(50, 100)")
    assert trial.mistakes == []
    assert "outside its range" in trial.warnings[0]


def test_recorded_events_without_outcomes_are_doubted() -> None:
    """Then nothing of label, KPI and learning was tried."""
    trial, _ = tried('yield "outcome", {"event_id"', 'row = {"event_id"')
    assert "has an outcome" in trial.warnings[0]


@pytest.mark.parametrize("name", ["phishing", "flight_eta"])
def test_the_use_cases_that_come_along_have_no_mistakes(name: str) -> None:
    """They are what newcomers copy."""
    from streams.loading import load

    loaded = load(str(Path(__file__).parents[1] / "usecases" / f"{name}.py"))
    assert [m.reason for m in mistakes(loaded.use_case, loaded.source)] == []
    trial = running(loaded.use_case, first(loaded.use_case), loaded.source)
    assert [m.reason for m in trial.mistakes] == []
