"""What `/metrics` gives, and that docs, dashboard and alerting rules name what there is."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from streams.telemetry.measurements import Measurements
from streams.telemetry.prometheus import METRICS, STATES, PrometheusExporter
from streams.worker.feature_store_writer import Figures
from tests.support.one_partition import EVENTS, OUTCOMES, Partition, delivery, order, use_case

ROOT = Path(__file__).parents[3]
SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
NAMES = {f"{metric.name}{end}" for metric in METRICS.values() for end in SUFFIXES[metric.type]}
FIGURES = asdict(Figures(written=20, freshness_s=0.1))
BASE_UNITS = ("seconds", "bytes", "records", "ratio")


RELAY = {"lag": 3, "error": None, "counts": {"events": 2, "refused": 1}}
TRAINING = {"in_place": {}, "trainers": [{"trainer": 1, "cpu_s": 2.5, "waiting": 0}]}
LEARNER = {"runner": {"lag": 4}, "stalled_s": 0.0, "training": TRAINING}


class Runner(SimpleNamespace):
    """A partition's runner as the exposition sees it."""

    def status(self) -> dict[str, Any]:
        """As streams/partition/runner.py tells it."""
        snapshot = {
            "age_s": 3.0,
            "bytes": 1_000,
            "cost_s": 0.1,
            "error": None,
            "archive_error": "full",
        }
        told = {"partition": 0, "lag": 7, "snapshot": snapshot, "model_staleness_s": 1.5}
        return told | self.measures.status(None)


def runner(events: int = 20) -> Runner:
    """One that has answered and learnt, a record refused among it."""
    partition = Partition(use_case())
    for n in range(events):
        partition.give(EVENTS, order(f"o{n}", n * 10.0))
        partition.give(OUTCOMES, delivery(f"o{n}", n * 10.0 + 5))
    partition.give(EVENTS, {"event_id": "bad"})
    measures = Measurements()
    measures.recovered(0.2, partition.task)
    now_ms = int(time.time() * 1000)
    record = SimpleNamespace(timestamp=now_ms - 400)
    partition.task.counts["learnt"] += 1
    taken: Any = SimpleNamespace(applied=2 * events, oldest=record, newest=[record, record])
    measures.committed(taken, 0.004, partition.task)
    return Runner(number=0, state="live", task=partition.task, measures=measures)


def samples(runner: Runner) -> dict[str, list[tuple[dict[str, str], float]]]:
    """The exposition as Prometheus parses it."""
    text = (
        PrometheusExporter(use_case(), "d1")
        .render([runner], {0: runner.measures}, FIGURES, RELAY, LEARNER)
        .decode()
    )
    by_name: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            by_name.setdefault(sample.name, []).append((sample.labels, sample.value))
    return by_name


def test_every_metric_that_is_declared_is_there_with_its_labels() -> None:
    """And no other, beside those of the process; each has the use case."""
    metrics = samples(runner())
    assert {name for name in metrics if not name.startswith("riverrun_process_")} == NAMES
    for metric in METRICS.values():
        for labels, _ in metrics[f"{metric.name}{SUFFIXES[metric.type][0]}"]:
            assert set(labels) - {"le"} == {"use_case", *metric.labels}, metric.name


def test_the_values_are_the_task_s_own_counts() -> None:
    """Counts, who answered, KPI and scores as the partition keeps them."""
    one = runner()
    metrics, task = samples(one), one.task
    assert metrics["riverrun_events_total"][0][1] == task.counts["events"] == 20
    assert metrics["riverrun_dead_letters_total"][0][1] == 1
    by = {labels["served_by"]: value for labels, value in metrics["riverrun_predictions_total"]}
    assert sum(by.values()) == 20
    assert by["baseline"] > 0
    kpi = {labels["model"]: value for labels, value in metrics["riverrun_kpi_sum"]}
    assert kpi["baseline"] == pytest.approx(2.0 * 20)
    assert metrics["riverrun_maturity_ratio"][0][1] == 1.0
    assert 0.3 < metrics["riverrun_freshness_seconds"][0][1] < 60
    assert metrics["riverrun_batch_records_sum"][0][1] == 40


def test_how_many_series_there_are_is_known_beforehand() -> None:
    """Fifty times the records, ids, segments and slices: not one series more."""
    few, many = samples(runner(20)), samples(runner(1_000))
    assert {n: len(s) for n, s in few.items()} == {n: len(s) for n, s in many.items()}
    assert len(few["riverrun_partitions"]) == len(STATES)


def test_names_have_the_prefix_and_base_units() -> None:
    """`riverrun_`, words in lower case; a unit in the name is a base unit."""
    for metric in METRICS.values():
        assert re.fullmatch(r"riverrun_[a-z]+(_[a-z]+)*", metric.name)
        assert not re.search(r"_(ms|minutes|hours|kb|mb|percent)(_|$)", metric.name)
        if metric.type == "histogram":
            assert metric.name.endswith(BASE_UNITS)


# What names them.


def used(expression: str) -> set[str]:
    """The metrics that an expression asks for."""
    return set(re.findall(r"\briverrun_\w+", re.sub(r'"[^"]*"', "", expression)))


def dashboards() -> Iterator[tuple[str, Any]]:
    """Each dashboard by its file's name."""
    for path in (ROOT / "deploy/grafana/dashboards").glob("*.json"):
        yield path.name, json.loads(path.read_text("utf-8"))


def rules() -> list[dict[str, Any]]:
    """The alerting rules."""
    groups = yaml.safe_load((ROOT / "deploy/prometheus/rules.yml").read_text("utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def test_the_dashboard_asks_for_metrics_that_exist() -> None:
    """In panels, annotations and variables; and it leaves none out."""
    asked: set[str] = set()
    for name, dashboard in dashboards():
        targets = [t["expr"] for panel in dashboard["panels"] for t in panel["targets"]]
        targets += [each["expr"] for each in dashboard["annotations"]["list"]]
        targets += [each["query"]["query"] for each in dashboard["templating"]["list"]]
        used_metrics = set().union(*map(used, targets))
        assert used_metrics <= NAMES, name
        assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
        asked |= used_metrics
    shown = {name for name, metric in METRICS.items() if any(n.startswith(name) for n in asked)}
    assert shown == set(METRICS)


def test_the_alerting_rules_ask_for_metrics_that_exist() -> None:
    """Each has a severity, words and a command to look further."""
    assert rules()
    for rule in rules():
        assert used(rule["expr"]) <= NAMES, rule["alert"]
        assert rule["expr"].count("(") == rule["expr"].count(")")
        assert rule["labels"]["severity"] in ("notice", "warning", "alarm")
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["command"].startswith("riverrun ")


def test_a_metric_that_there_is_not_would_be_found() -> None:
    """Else the two tests above would hold nothing."""
    assert not used('sum(rate(riverrun_predictons_total{use_case="a"}[1m]))') <= NAMES
    assert used('riverrun_lag_records{use_case="riverrun_x"}') <= NAMES


def rows(text: str, first: str) -> list[list[str]]:
    """The table whose first column is called so."""
    table = text[text.index(f"| {first} |") :].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in table]


def test_every_metric_and_alerting_rule_is_documented() -> None:
    """In the order of the code, with type, labels and words."""
    text = (ROOT / "docs/reference/METRICS.md").read_text("utf-8")
    assert rows(text, "metric") == [
        [f"`{k.name}`", k.type, ", ".join(f"`{label}`" for label in k.labels), k.help]
        for k in METRICS.values()
    ]
    assert rows(text, "alert") == [
        [f"`{r['alert']}`", r["labels"]["severity"], r["annotations"]["summary"]] for r in rules()
    ]


def test_every_rule_and_limit_of_the_monitor_is_documented() -> None:
    """docs/reference/ALERTS.md has each, with its severity and its default."""
    from streams.monitor.alert_context import LIMITS
    from streams.monitor.rules import rules as declared

    text = (ROOT / "docs/reference/ALERTS.md").read_text("utf-8")
    assert [row[:2] for row in rows(text, "rule")] == [
        [f"`{rule.name}`", rule.severity] for rule in declared(LIMITS)
    ]
    for row, rule in zip(rows(text, "rule"), declared(LIMITS), strict=True):
        assert row[2].rstrip(".").lower() == rule.about.lower()
    assert [row[:2] for row in rows(text, "limit")] == [
        [f"`{name}`", f"{value:g}"] for name, value in LIMITS.items()
    ]
