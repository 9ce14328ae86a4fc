"""Every mistake that a use case can hold is found, at its line, with a way to mend it."""

from __future__ import annotations

from dataclasses import fields

import pytest

from models.spec.use_case import UseCase
from models.validation import Lines, mistakes
from models.validation.check_names import SHAPES
from tests.support.use_cases.declared_shop import LAST, SOURCE, changed, declared, the_one


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


@pytest.mark.parametrize(("old", "new", "reason", "hint"), NAMES)
def test_wrong_names_and_types_are_found(old: str, new: str, reason: str, hint: str) -> None:
    """Name, owner and record types."""
    mistake = the_one(f"    {old}", f"    {new}")
    assert reason in mistake.reason
    assert hint in mistake.hint


KEYS = [
    ("shpo", "not a field of Asked", '"shop"'),
    ("note", "may be None", "without None"),
    ("price", "is a float", "text or a whole number"),
    ("event_time", "whose text differs", "text or a whole number"),
]


@pytest.mark.parametrize("features", ["None", "list(FEATURES)", "7"])
def test_features_that_are_no_dictionary_are_the_mistake(features: str) -> None:
    """Models are looked at all the same."""
    mistake = the_one("    features=FEATURES", f"    features={features}")
    assert mistake.hint == "Give a dictionary."


@pytest.mark.parametrize(("key", "reason", "hint"), KEYS)
def test_a_key_that_cannot_be_one_is_found(key: str, reason: str, hint: str) -> None:
    """It must be a field, always there, and the same text in every language."""
    source, line = changed('key="shop"', f'key="{key}"')
    mistake = [m for m in mistakes(declared(source), source) if m.line == line]
    assert reason in mistake[0].reason
    assert hint in mistake[0].hint


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
    mistake = [m for m in mistakes(declared(source), source) if reason in m.reason]
    assert [m.line for m in mistake] == [line]
    assert mistake[0].hint


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
    ("last=minutes(30)).count()", "last=1.0, values=0).count()", "values=0"),
    ("last=minutes(30)).count()", "half_life=1.0, values=9).count()", "and holds none"),
    ("last=minutes(30)).count()", "last=1.0).quantile(lambda event, x: 1.0, 50)", "q=50"),
    ("last=minutes(30)).count()", "last=1.0).latest(lambda event, x: 1.0, lag=0)", "lag=0"),
    ("last=minutes(30)).count()", "last=1.0).distinct(lambda event, x: 1.0, sample=2)", "sample=2"),
    ("last=minutes(30)).count()", 'last=1.0).std(lambda event, x: 1.0, empty="0")', "empty='0'"),
    ("last=minutes(30)).count()", "last=1.0).top(lambda event: 1)", "takes (event)"),
]


@pytest.mark.parametrize(("old", "new", "text"), FEATURES)
def test_a_wrong_feature_or_window_is_found(old: str, new: str, text: str) -> None:
    """Each is found at its own line or at its argument's, and says how to mend it."""
    source, line = changed(old, new)
    mistake = [m for m in mistakes(declared(source), source) if text in f"{m.reason} {m.hint}"]
    assert len(mistake) == 1, [m.reason for m in mistakes(declared(source), source)]
    assert mistake[0].line is not None
    assert abs(mistake[0].line - line) <= 1
    assert mistake[0].hint


def test_a_window_that_lacks_the_key_needs_a_learner() -> None:
    """It is shared; where each partition learns by itself, the reason says what it would miss."""
    source, _ = changed('by="shop", last=minutes(30)', 'by="city", last=minutes(30)')
    assert not mistakes(declared(source), source)
    source = source.replace('    key="shop",\n', '    key="shop",\n    learning="partition",\n')
    (mistake,) = mistakes(declared(source), source)
    assert "spread over all partitions" in mistake.reason
    assert 'write by=("shop", "city")' in mistake.hint


UNDECAYED = [
    "min(lambda event, x: 1.0, empty=0.0)",
    "max(lambda event, x: 1.0, empty=0.0)",
    "latest(lambda event, x: 1.0)",
    "time_since()",
    "distinct(lambda event, x: 1.0)",
]


@pytest.mark.parametrize("aggregate", UNDECAYED)
def test_what_cannot_fade_and_decays_is_found(aggregate: str) -> None:
    """A smallest value, a single value, a time and a count of different values cannot fade."""
    mistake = the_one(
        'over_events(by="shop", last=minutes(30)).count()',
        f'over_events(by="shop", half_life=1.0).{aggregate}',
    )
    assert "decays" in mistake.reason


def test_a_prior_that_may_be_missing_is_found() -> None:
    """The newest value without `empty` is left out where there is none."""
    source, _ = changed(
        '"queue": over_events(by="shop", last=minutes(30)).count()',
        '"queue": over_events(by="shop").latest(lambda event, x: 1.0),\n    "q": over_events('
        'by="shop", last=1.0).mean(lambda event, x: 1.0, prior="queue")',
    )
    (mistake,) = mistakes(declared(source), source)
    assert "may be missing" in mistake.reason


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
    mistake = [m for m in mistakes(declared(source), source) if reason in m.reason]
    assert [m.line for m in mistake] == [line]
    assert mistake[0].hint


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


@pytest.mark.parametrize(("old", "new", "reason", "hint"), ANSWERS)
def test_a_wrong_answer_is_found(old: str, new: str, reason: str, hint: str) -> None:
    """Champion, metric, kind and horizon."""
    mistake = the_one(f"    {old}", f"    {new}")
    assert reason in mistake.reason
    assert hint in mistake.hint


KPI = [
    ('unit="EUR"', 'unit=""', "no unit"),
    ('better="lower"', 'better="less"', "'less'"),
    ("range=(0, 100)", "range=(100, 0)", "does not bound it"),
    ("range=(0, 100)", 'range=(0, float("inf"))', "does not bound it"),
    ("range=(0, 100)", "range=(0, 1e-200)", "beyond what can be counted with"),
    ("range=(0, 100)", "range=(-1e308, 1e308)", "beyond what can be counted with"),
    ("range=(0, 100)", "range=(0, 10**400)", "does not bound it"),
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
    ("label_on_timeout=True", "label_on_timeout"),
    ('target="baseline"', "not known"),
    ("id_retention=60.0", "less than the horizon"),
    ("partitions=0", "partitions is 0"),
    ("partitions=10**9", "partitions is 1000000000"),
    ("partitions=True", "partitions is True"),
    ("window=0.0", "window is 0 s"),
    ("window=1e-9", "window is 1e-09 s"),
    ("window=1e12", "window is 1e+12 s"),
    ("id_retention=1e300", "id_retention is 1e+300 s"),
    ("max_jump=1e-310", "max_jump is"),
    ("max_jump=10**400", "max_jump"),
    ("max_jump=0.0", "max_jump is 0 s"),
    ("confirm_jump_after=0", "confirm_jump_after is 0"),
    ("warmup=-1", "warmup is -1"),
    ("waiting_limit=0", "waiting_limit is 0"),
    ("early_limit=0", "early_limit is 0"),
    ('drift_features=["quue"]', "no feature"),
    ('internal_features=["quue"]', "no feature"),
    ("internal_features=list(FEATURES)", "every feature is internal"),
    ("internal_features='usual'", "internal_features is 'usual'"),
    ("contributions=-1", "contributions is -1"),
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
    mistake = [m for m in mistakes(declared(source), source) if reason in m.reason]
    assert [m.line for m in mistake] == [line], [
        m.reason for m in mistakes(declared(source), source)
    ]
    assert mistake[0].hint


def test_what_only_a_number_has_is_refused_of_classes() -> None:
    """Limits, and a label minus a baseline."""
    source = SOURCE.replace('metric="mae"', 'metric="accuracy", kind="binary", limits=(0, 1)')
    source = source.replace('champion="linear"', 'champion="linear", target="label - baseline"')
    source = source.replace("LinearRegression()", "LogisticRegression()")
    source = source.replace("HoeffdingTreeRegressor", "HoeffdingTreeClassifier")
    reasons = [m.reason for m in mistakes(declared(source), source)]
    assert len(reasons) == 2
    assert "no limits" in reasons[1]
    assert "not a label" in reasons[0]


def test_every_field_of_a_use_case_is_checked() -> None:
    """One that is added to `UseCase` is added to the checks; `label_on_timeout` depends on the
    kind.
    """
    assert {field.name for field in fields(UseCase)} - set(SHAPES) == {"label_on_timeout"}


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


@pytest.mark.parametrize(("source", "path", "line"), PLACES)
def test_a_place_is_found_however_it_is_written(
    source: str, path: tuple[str, ...], line: int | None
) -> None:
    """Through names, joined dictionaries and calls; else the nearest line that is known."""
    assert Lines(source).of(*path) == line


# On data.
