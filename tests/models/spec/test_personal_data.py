"""Personal data: what is found to be personal, and that nothing of it is shown."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import replace
from typing import Annotated, Any

import orjson
import pytest
from pydantic import BaseModel, Field, field_validator
from river import base

from models.features.featurizer import Feature
from models.features.window_declarations import over_events
from models.inputs.decoder import EVENTS, OUTCOMES, Decoder, PlainRecord
from models.metrics.drift_monitor import Watcher
from models.spec.personal_data import NOTHING, masking_of
from models.spec.use_case import Segments
from models.stats.block_histograms import Histograms
from models.stats.drift_detection import DriftAlarm
from models.validation import mistakes
from models.values.durations import hours
from schemas.asyncapi import Subject, json_schemas
from schemas.partitioner import partition_of
from schemas.personal_data import MASK, Personal, masked, personal_paths
from streams.inspection.tail import masked_row
from streams.operations.dead_letters import Letter
from tests.support.one_partition import (
    FEATURES,
    Delivery,
    Order,
    Partition,
    delivery,
    linear,
    order,
    use_case,
)


class Address(BaseModel):
    """Where somebody lives."""

    street: Annotated[str, Personal]
    country: str


class Ordered(Order):
    """A parcel of a person."""

    buyer: Annotated[str, Personal] = Field(default="", description="Who bought it.")
    income: Annotated[float, Personal] | None = None
    home: Address | None = None
    others: list[Address] = Field(default_factory=list)

    @field_validator("buyer")
    @classmethod
    def _no_shouting(cls, value: str) -> str:
        if value.isupper():
            raise ValueError(f"{value} is shouted")
        return value


class Handed(Delivery):
    """It was handed over."""

    signed_by: Annotated[str | None, Personal] = None


def name_length(e: Ordered) -> int:
    """A helper that reads a marked field."""
    return len(e.buyer)


FEATURES_OF_PERSONS: dict[str, Feature] = {
    **FEATURES,
    **Ordered.fields("buyer"),
    "length": lambda e: name_length(e),
    "twice": lambda e, x: 2 * x["length"],
    "rich": over_events(by="shop", last=hours(1)).mean(lambda e, x: e.income, empty=0.0),
    "street": lambda e: e.home.street if e.home else None,
    "country": lambda e: e.home.country if e.home else None,
}


def people(**changes: Any) -> Any:
    """A use case about persons."""
    fields = {"event": Ordered, "outcome": Handed, "features": FEATURES_OF_PERSONS}
    return use_case(**(fields | changes))


EVENT = order("o1", 0, buyer="Ann Miller", income=51_000.5, country="NL") | {
    "home": {"street": "Long Lane 1", "country": "NL"},
    "others": [{"street": "Short Lane 2", "country": "BE"}],
}


def test_marked_fields_are_found_wherever_they_are() -> None:
    """In unions, in models within, in lists of them, with and without a Field."""
    assert personal_paths(Ordered) == (
        ("buyer",), ("income",), ("home", "street"), ("others", "street"),
    )  # fmt: skip
    assert personal_paths(Handed) == (("signed_by",),)
    assert personal_paths(Order) == ()


def test_an_event_shows_nothing_personal_and_all_else() -> None:
    """The mask is in the place of each marked value; the rest is as it was."""
    shown = masking_of(people()).value("events", EVENT)
    assert (shown["buyer"], shown["income"]) == (MASK, MASK)
    assert shown["home"] == {"street": MASK, "country": "NL"}
    assert shown["others"] == [{"street": MASK, "country": "BE"}]
    assert {n: shown[n] for n in ("event_id", "shop", "weight")} == {
        n: EVENT[n] for n in ("event_id", "shop", "weight")
    }
    assert masked({"home": "Long Lane 1"}, [("home", "street")]) == {"home": MASK}


def test_personal_data_in_an_envelope_is_masked_too() -> None:
    """A change event with the row in it: in the record and in an error's words."""
    masking = masking_of(people())
    envelope = {"op": "c", "rows": [EVENT], "before": None}
    shown = masking.value("events", envelope)["rows"][0]
    assert shown == masking.value("events", EVENT)
    assert shown["buyer"] == MASK
    assert EVENT["buyer"] not in masking.words(f"no such {EVENT['buyer']}", envelope)


def test_what_is_made_of_personal_data_is_personal() -> None:
    """Columns, functions and their helpers, windows, and features of such features; no others.

    Whoever reads a model that holds something personal might pass it on: the safe side.
    """
    masking = masking_of(people(label=lambda e, o: len(o.signed_by or "")))
    assert masking.features == {"buyer", "length", "twice", "rich", "street", "country"}
    features = {"buyer": "Ann Miller", "length": 10, "weight": 2.0}
    shown = masking.value("features", {"event_id": "o1", "features": features})
    assert shown["features"] == {"buyer": MASK, "length": MASK, "weight": 2.0}
    example = {"features": features, "label": 7, "prediction": 6.5}
    assert masking.value("examples", example)["label"] == MASK
    assert masking_of(people()).value("examples", example)["label"] == 7
    prediction = {"contributions": {"buyer_Ann Miller": 1.0, "weight": 2.0}}
    assert masking.value("predictions", prediction)["contributions"] == {
        "buyer_***": 1.0,
        "weight": 2.0,
    }
    drift = {"subject": "rich", "was": "mean: 51000.5", "now": "mean: 12"}
    assert masking.value("drift", drift)["was"] == MASK


def letter_of(value: bytes, key: bytes = b"a") -> dict[str, Any]:
    """What becomes of a bad record, as the topic has it."""
    record = PlainRecord("t", partition_of(key, 2), 0, 10**13, key, value)
    error = Decoder(people(), 2).read(EVENTS, record).error
    return {"value_base64": b64encode(value).decode(), "key_base64": None, "error": str(error)}


@pytest.mark.parametrize(
    "event",
    [
        EVENT | {"weight": "heavy"},
        EVENT | {"income": "fifty thousand"},
        EVENT | {"buyer": "ANN MILLER"},
        EVENT | {"home": "Long Lane 1"},
        EVENT | {"others": [{"street": 17, "country": "NL"}]},
        ["Ann Miller", "Long Lane 1"],
    ],
)
def test_a_dead_letter_shows_nothing_personal(event: Any) -> None:
    """Neither in its value nor in the words of its error, whatever is wrong with it."""
    letter = letter_of(orjson.dumps(event))
    assert letter["error"] != "None"
    words = ("Ann", "ANN", "Lane", "fifty")
    assert not any(word in letter["error"] for word in words), letter["error"]
    shown = masking_of(people()).letter({**letter, "key": "a", "value": orjson.dumps(event)})
    assert not any(word in str(shown["value"]) for word in words), shown
    tailed = masking_of(people()).value("dead-letter", letter)
    assert tailed["value_base64"] == MASK


def test_an_error_that_quotes_the_record_is_masked_where_it_is_shown() -> None:
    """A function of the author's own may have put anything into its message."""
    shown = masking_of(people()).letter(
        {"value": orjson.dumps(EVENT).decode(), "key": None, "error": "no discount for Ann Miller"}
    )
    assert shown["error"] == f"no discount for {MASK}"
    broken = {"value": '{"buyer": "Ann', "key": None, "error": "the value is not JSON"}
    assert masking_of(people()).letter(broken)["value"] == MASK


def test_what_is_written_of_a_refused_record_is_masked_already() -> None:
    """On the topic, so that whoever reads it (monitor, alerts, page) has nothing to hide."""

    def baseline(e: Ordered) -> float:
        raise LookupError(f"no price for {e.buyer} of {e.home and e.home.street}")

    partition = Partition(people(baseline=baseline))
    partition.give(EVENTS, EVENT)
    [letter] = partition.of("dead-letter")
    failed = "the baseline failed on this event: LookupError"
    assert letter["error"] == f"{failed}: no price for {MASK} of {MASK}"
    causes = [
        value for out in partition.outputs for name, value in out.raw.headers if "message" in name
    ]
    assert causes == [letter["error"].encode()]


@pytest.mark.parametrize("subject", ["buyer", "stuck:buyer", "rich"])
def test_drift_of_a_personal_feature_is_masked_when_it_is_written(subject: str) -> None:
    """Values and categories; alerts, webhook, page and log pass on what the record holds."""
    kind, _, name = subject.rpartition(":")
    shown = Histograms(edges=None, names=["Ann Miller"], then=[1.0], now=[0.0])
    alarm: Any = DriftAlarm(
        name,
        kind or "category",
        "mean",
        51_000.5,
        12.0,
        "51,000",
        "12",
        3,
        3,
        1.0,
        1.0,
        False,
        shown,
    )  # type: ignore[arg-type]
    change = Watcher(people(), ("served", "linear")).lifecycle_change(alarm, "alert")
    assert change["was"] == change["now"] == MASK
    assert change["names"] is change["edges"] is change["then"] is change["now_shares"] is None
    assert change["severity"]


def test_drift_of_any_other_feature_and_of_what_is_missing_is_told() -> None:
    """With its figures."""
    for kind, name in (("numeric", "weight"), ("missing", "buyer")):
        alarm: Any = DriftAlarm(name, kind, "mean", 2.0, 3.0, "mean 2", "mean 3", 3, 3, 1.0, 1.0)  # type: ignore[arg-type]
        change = Watcher(people(), ("served", "linear")).lifecycle_change(alarm, "alert")
        assert change["was"] == "mean 2"


def test_a_producers_headers_are_masked_where_records_are_shown() -> None:
    """Their names stay; values that no person is in are shown."""
    headers = {"user": "Ann Miller", "traceparent": "00-1", "X-Income": "51000"}
    shown = {"user": MASK, "traceparent": "00-1", "X-Income": MASK}
    masking = masking_of(people())
    for kind in ("events", "outcomes", "history"):
        row = {"key": "a", "headers": headers, "value": EVENT}
        assert masked_row(row, kind, masking)["headers"] == shown
        assert masked_row(row, kind, NOTHING)["headers"] == headers
    body = {
        "value_base64": b64encode(orjson.dumps(EVENT)).decode(),
        "key_base64": None,
        "headers": [(n, b64encode(v.encode()).decode()) for n, v in headers.items()],
        "error": "no",
    }
    letter = Letter("0/1", 0, body)
    assert dict(letter.as_json(masking)["headers"]) == shown
    assert dict(letter.as_json(NOTHING)["headers"]) == headers
    assert dict(letter.headers)["user"] == b"Ann Miller", "it is sent again as it came"


def test_what_is_said_of_an_outcome_quotes_nothing_of_its_event() -> None:
    """The author's functions see both records."""

    def label(e: Ordered, o: Handed) -> float:
        raise LookupError(f"no hours for {e.buyer}, signed by {o.signed_by}, {e.income}")

    partition = Partition(people(label=label))
    partition.give(EVENTS, EVENT)
    partition.give(OUTCOMES, delivery("o1", 60, signed_by="Bo"))
    [letter] = partition.of("dead-letter")
    assert f"no hours for {MASK}, signed by {MASK}, {MASK}" in letter["error"]


@pytest.mark.parametrize("value", ["Li", "42", "A"])
def test_a_short_value_is_masked_and_other_words_stay(value: str) -> None:
    """As a whole word, of one sign where it is quoted."""
    shown = masking_of(people()).words(f"Limit 424 of {value!r} at A", {"buyer": value})
    assert shown.startswith("Limit 424 of ")
    assert repr(value) not in shown


def test_a_personal_label_is_in_no_doubt_about_it() -> None:
    """An outcome that is held as implausible says that it is, and not what it is."""
    case = people(label=lambda e, o: float(len(o.signed_by or "") * 977), plausible=(0, 10))
    partition = Partition(case)
    partition.give(EVENTS, EVENT)
    partition.give(OUTCOMES, delivery("o1", 60, signed_by="Ann"))
    [letter] = partition.of("dead-letter")
    assert letter["error_class"] == "quarantined"
    assert "2931" not in letter["error"]


class Talkative(base.Regressor):
    """A model that fails, quoting what it was given."""

    def learn_one(self, x: dict[str, Any], y: Any) -> None:
        """Nothing is learnt."""

    def predict_one(self, x: dict[str, Any]) -> float:
        """Raises."""
        raise ValueError(f"cannot take {x}")


def test_a_model_that_fails_says_nothing_personal() -> None:
    """Where data is marked, only the kind of failure is on `lifecycle`; else its words are, too."""
    for case, due in ((people(), False), (use_case(), True)):
        case = replace(case, models={"linear": Talkative}, warmup=0)
        partition = Partition(case)
        partition.give(EVENTS, EVENT if not due else order("o1", 0))
        [told] = [row for row in partition.of("lifecycle") if row["to_state"] == "withheld"]
        assert told["why"].startswith("ValueError")
        assert ("cannot take" in told["why"]) is due


def test_a_personal_key_is_masked_too() -> None:
    """On every kind of record that it is the key of, and in what is said of a wrong one."""

    class Bought(Order):
        shop: Annotated[str, Personal]

    case = people(event=Bought)
    masking = masking_of(case)
    assert masking.key_of("predictions", "ann@example.com") == MASK
    assert masking.key_of("journal", None) is None
    record = PlainRecord(
        "t", 0, 0, 10**13, b"ann@example.com", orjson.dumps(order("o", 0, shop="bob"))
    )
    assert "ann" not in str(Decoder(case, 2).read(EVENTS, record).error)
    assert "bob" not in str(Decoder(case, 2).read(EVENTS, record).error)


def test_groups_by_personal_data_are_a_mistake() -> None:
    """A segment is in metrics, keys and model names, which are not masked."""
    case = people(segments=Segments("buyer"), slices={"buyer": "buyer"}, models={"linear": linear})
    reasons = [m.reason for m in mistakes(case) if "personal" in m.reason]
    assert len(reasons) == 2, reasons


def test_nothing_marked_is_nothing_masked() -> None:
    """And costs nothing: the same object comes back."""
    assert masking_of(use_case()) is NOTHING
    assert not NOTHING
    assert NOTHING.value("events", EVENT) is EVENT


def test_the_contract_says_what_is_personal() -> None:
    """So that consumers in other languages can mask it as well."""
    schema = json_schemas(Subject(name="parcels", event=Ordered, outcome=Handed))["events"]
    assert schema["properties"]["buyer"]["x-personal"] is True
    assert "x-personal" not in schema["properties"]["shop"]
