"""A worker's measures for Prometheus, as `/metrics` gives them: read when they are asked for.

Nothing is counted here and nothing a record: counts are the task's and the runner's own. Labels are
the use case, the partition, the state, who answered and the declared models, so their number is
known beforehand. Names are in `METRICS`; docs/reference/METRICS.md, the dashboard and the alerting
rules are held against it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from time import time
from typing import Any, Literal, NamedTuple

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from models.spec.metric_sums import AUC
from models.spec.use_case import UseCase
from streams.telemetry.measurements import Histogram, Measurements

STATES = ("recovering", "live", "waiting", "halted", "stopped")
ANSWERED_BY = ("champion", "challenger", "pooled", "baseline", "holdout")


class ExportedMetric(NamedTuple):
    """A metric by its name without its type's suffix; before its labels comes `use_case`."""

    name: str
    type: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ("partition",)


COUNTED = {
    "events": ExportedMetric("riverrun_events", "counter", "Events answered."),
    "outcomes": ExportedMetric("riverrun_outcomes", "counter", "Outcomes taken."),
    "learnt": ExportedMetric("riverrun_learnt", "counter", "Examples learnt."),
    "late": ExportedMetric("riverrun_late_outcomes", "counter", "Outcomes after their horizon."),
    "expired": ExportedMetric(
        "riverrun_expired", "counter", "Predictions that never got an outcome."
    ),
    "repeats": ExportedMetric("riverrun_repeats", "counter", "Records that came again."),
    "refused": ExportedMetric(
        "riverrun_dead_letters", "counter", "Records that could not be used."
    ),
    "quarantined": ExportedMetric(
        "riverrun_quarantined", "counter", "Outcomes held as implausible."
    ),
    "released": ExportedMetric(
        "riverrun_released", "counter", "Of those, released by an operator."
    ),
    "evicted": ExportedMetric(
        "riverrun_evicted", "counter", "What expired, was forgotten or given up for lack of room."
    ),
    "skipped": ExportedMetric(
        "riverrun_skipped", "counter", "Records set aside: `apply` failed on them."
    ),
}
"""The task's counts, over the partition's whole life, whichever worker had it."""

OTHERS = (
    ExportedMetric("riverrun_build_info", "gauge", "1; what runs here.", ("definition", "version")),
    ExportedMetric(
        "riverrun_predictions", "counter", "Answers, by whom.", ("partition", "served_by")
    ),
    ExportedMetric("riverrun_records", "counter", "Input records committed by this process."),
    ExportedMetric("riverrun_lag_records", "gauge", "Committed input records that wait."),
    ExportedMetric("riverrun_freshness_seconds", "gauge", "Age of the newest outcome learnt here."),
    ExportedMetric(
        "riverrun_model_staleness_seconds",
        "gauge",
        "Event time between a partition and the newest version of its shared models.",
    ),
    ExportedMetric("riverrun_commit_seconds", "histogram", "Time that a transaction takes.", ()),
    ExportedMetric(
        "riverrun_answer_seconds",
        "histogram",
        "From an event's Kafka timestamp to its committed answer; each batch's oldest.",
        (),
    ),
    ExportedMetric("riverrun_batch_records", "histogram", "Input records in one transaction.", ()),
    ExportedMetric(
        "riverrun_recoveries", "counter", "Starts and repairs of a partition in this process."
    ),
    ExportedMetric("riverrun_recovery_seconds", "gauge", "How long the last of them took."),
    ExportedMetric(
        "riverrun_partitions", "gauge", "Partitions of this worker by state.", ("state",)
    ),
    ExportedMetric("riverrun_snapshot_age_seconds", "gauge", "Age of the newest snapshot."),
    ExportedMetric("riverrun_snapshot_bytes", "gauge", "Its size."),
    ExportedMetric("riverrun_snapshot_seconds", "gauge", "What it cost."),
    ExportedMetric(
        "riverrun_snapshot_failing",
        "gauge",
        "1 where the last one was not written.",
        ("partition", "store"),
    ),
    ExportedMetric(
        "riverrun_maturity_ratio", "gauge", "Share of all predictions that have their outcome."
    ),
    ExportedMetric(
        "riverrun_kpi_sum",
        "gauge",
        "KPI over all outcomes, in its unit.",
        ("partition", "model", "unit"),
    ),
    ExportedMetric(
        "riverrun_kpi_count", "gauge", "Outcomes that have one.", ("partition", "model", "unit")
    ),
    ExportedMetric(
        "riverrun_score_sum",
        "gauge",
        "The kind's mergeable sums over all labels.",
        ("partition", "model", "sum"),
    ),
    ExportedMetric(
        "riverrun_score_count", "gauge", "Labels that they are over.", ("partition", "model")
    ),
    ExportedMetric(
        "riverrun_withheld",
        "counter",
        "Values of a model that were not finite or out of limits.",
        ("partition", "model"),
    ),
)
FEATURES = {
    "written": ExportedMetric(
        "riverrun_features_written", "counter", "Feature vectors put into the store.", ()
    ),
    "failures": ExportedMetric(
        "riverrun_features_failures", "counter", "Times that it failed.", ()
    ),
    "checked": ExportedMetric("riverrun_features_checked", "counter", "Vectors read back.", ()),
    "skewed": ExportedMetric(
        "riverrun_features_skewed", "counter", "Of those, other than written.", ()
    ),
    "freshness_s": ExportedMetric(
        "riverrun_features_age_seconds", "gauge", "From commit to store, of the last batch.", ()
    ),
}
"""The feature store's figures (streams/worker/feature_store_writer.py), where the use case serves
features.
"""

RELAY = (
    ExportedMetric("riverrun_source_lag_records", "gauge", "Records of sources that wait.", ()),
    ExportedMetric(
        "riverrun_source_records",
        "counter",
        "Records of sources that this process read, by what became of them.",
        ("became",),
    ),
    ExportedMetric("riverrun_source_failing", "gauge", "1 where the relay stands still.", ()),
)
"""The relay's figures (streams/sources/relay.py), where the use case has sources."""

TRAINERS = (
    ExportedMetric(
        "riverrun_trainer_cpu_seconds", "counter", "CPU of a trainer since it began.", ("trainer",)
    ),
    ExportedMetric(
        "riverrun_trainer_waiting",
        "gauge",
        "Examples, times models, that a trainer was sent and has not learnt.",
        ("trainer",),
    ),
    ExportedMetric(
        "riverrun_trained_in_place",
        "gauge",
        "Models that no trainer can train, as they raised.",
        (),
    ),
)
"""The trainers' figures (streams/trainers/trainer_pool.py), where the learner here has any."""

LEARNING = (
    ExportedMetric(
        "riverrun_learner_lag_records", "gauge", "Examples that wait, where it runs.", ()
    ),
    ExportedMetric(
        "riverrun_learner_stalled_seconds",
        "gauge",
        "How long examples have waited for a learner that does not move, as this worker sees it.",
        (),
    ),
)
"""The learner's figures (streams/worker/shared_learning.py), where one model learns from all."""

METRICS: Mapping[str, ExportedMetric] = {
    metric.name: metric
    for metric in (*COUNTED.values(), *OTHERS, *FEATURES.values(), *RELAY, *LEARNING, *TRAINERS)
}
"""Every metric of a worker. Beside them: `riverrun_process_*`, the client's own of the process."""


class PrometheusExporter:
    """The `/metrics` of one worker. render: at any time between two records, in milliseconds."""

    def __init__(self, use_case: UseCase, definition: str) -> None:
        self._use_case = use_case
        self._definition = definition
        self._models = ("served", "baseline", *use_case.models)
        self._registry = CollectorRegistry()
        self._registry.register(_Reading(self))
        ProcessCollector(namespace="riverrun", registry=self._registry)
        self._partitions: Sequence[Any] = ()
        self._measures: Mapping[int, Measurements] = {}
        self._features: Mapping[str, float] | None = None
        self._relay: Mapping[str, Any] | None = None
        self._learner: Mapping[str, Any] | None = None

    def render(
        self,
        partitions: Sequence[Any],
        measures: Mapping[int, Measurements],
        features: Mapping[str, float] | None,
        relay: Mapping[str, Any] | None = None,
        learner: Mapping[str, Any] | None = None,
    ) -> bytes:
        """Return the exposition of these runners.

        Their partitions' measurements, and the feature store.

        `features` is None where none are served.
        """
        self._partitions, self._measures, self._features = partitions, measures, features
        self._relay, self._learner = relay, learner
        return generate_latest(self._registry)

    def families(self) -> Iterator[Metric]:
        """Return every metric with its samples."""
        samples: dict[str, list[tuple[tuple[str, ...], float]]] = {name: [] for name in METRICS}
        for name, labels, value in self._samples():
            samples[name].append((labels, value))
        for metric in METRICS.values():
            if metric.type == "histogram":
                yield self._histogram(metric)
            else:
                yield self._family(metric, samples[metric.name])

    def _family(
        self, metric: ExportedMetric, samples: list[tuple[tuple[str, ...], float]]
    ) -> Metric:
        make = CounterMetricFamily if metric.type == "counter" else GaugeMetricFamily
        family = make(metric.name, metric.help, labels=("use_case", *metric.labels))
        for labels, value in samples:
            family.add_metric((self._use_case.name, *labels), value)
        return family

    def _histogram(self, metric: ExportedMetric) -> Metric:
        names = {
            "riverrun_commit_seconds": "commit_s",
            "riverrun_answer_seconds": "answer_s",
            "riverrun_batch_records": "batch",
        }
        histograms = [getattr(each, names[metric.name]) for each in self._measures.values()]
        family = HistogramMetricFamily(metric.name, metric.help, labels=("use_case",))
        if histograms:
            whole = Histogram.together(histograms)
            family.add_metric((self._use_case.name,), whole.cumulative(), whole.sum)
        return family

    # Name, labels and value of each sample.

    def _samples(self) -> Iterator[tuple[str, tuple[str, ...], float]]:
        yield "riverrun_build_info", (self._definition, version("riverrun")), 1.0
        for state in STATES:
            count = sum(str(partition.state) == state for partition in self._partitions)
            yield "riverrun_partitions", (state,), count
        if self._features is not None:
            for name, metric in FEATURES.items():
                yield metric.name, (), self._features[name]
        for number, measures in self._measures.items():
            yield from _measured(str(number), measures)
        if self._relay is not None:
            yield from _relayed(self._relay)
        if self._learner is not None:
            yield from _learning(self._learner)
        for partition in self._partitions:
            yield from _told(partition.status())
            task = partition.task
            if getattr(task, "metrics", None) is not None:
                yield from self._judged(str(partition.number), task)

    def _judged(self, number: str, task: Any) -> Iterator[tuple[str, tuple[str, ...], float]]:
        for name, metric in COUNTED.items():
            yield metric.name, (number,), task.counts[name]
        for by in ANSWERED_BY:
            yield "riverrun_predictions", (number, by), task.counts[by]
        cell, unit = task.metrics.total(), self._use_case.kpi.unit
        if cell.predictions:
            yield "riverrun_maturity_ratio", (number,), cell.outcomes / cell.predictions
        for model in self._models:
            yield "riverrun_withheld", (number, model), cell.guarded.get(model, 0)
            # From zero on: what begins with its first value would lack it in every delta.
            row = cell.scores.get(model) or [0.0] * (2 + len(task.kind.sums))
            scored = cell.kpis if model in ("served", "baseline") else cell.paired[0]
            yield "riverrun_kpi_sum", (number, model, unit), row[1]
            yield "riverrun_kpi_count", (number, model, unit), scored
            yield "riverrun_score_count", (number, model), row[0]
            for name, value in zip(task.kind.sums, row[2:], strict=True):
                if name in AUC:
                    continue  # a hundred counts, which say nothing by themselves
                yield "riverrun_score_sum", (number, model, name), value


class _Reading(Collector):
    """prometheus_client asks this at each scrape."""

    def __init__(self, exposition: PrometheusExporter) -> None:
        self._exposition = exposition

    def collect(self) -> Iterable[Metric]:
        return self._exposition.families()

    def describe(self) -> Iterable[Metric]:
        return ()


def _measured(number: str, measures: Measurements) -> Iterator[tuple[str, tuple[str, ...], float]]:
    yield "riverrun_records", (number,), measures.records
    yield "riverrun_recoveries", (number,), measures.recoveries


def _relayed(status: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str, ...], float]]:
    if status["lag"] is not None:
        yield "riverrun_source_lag_records", (), status["lag"]
    yield "riverrun_source_failing", (), float(bool(status["error"]))
    for became, count in (status["counts"] or {}).items():
        yield "riverrun_source_records", (became,), count


def _trained(status: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str, ...], float]]:
    yield "riverrun_trained_in_place", (), len(status["in_place"])
    for trainer in status["trainers"]:
        number = str(trainer["trainer"])
        yield "riverrun_trainer_cpu_seconds", (number,), trainer["cpu_s"]
        yield "riverrun_trainer_waiting", (number,), trainer["waiting"]


def _learning(status: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str, ...], float]]:
    runner = status["runner"]
    if runner is not None and runner["lag"] is not None:
        yield "riverrun_learner_lag_records", (), runner["lag"]
    yield "riverrun_learner_stalled_seconds", (), status["stalled_s"]
    if "training" in status:
        yield from _trained(status["training"])


def _told(status: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str, ...], float]]:
    number, snapshot = str(status["partition"]), status["snapshot"]
    learnt_at = status["learnt_at"]
    values = {
        "riverrun_lag_records": status["lag"],
        "riverrun_freshness_seconds": None if learnt_at is None else time() - learnt_at,
        "riverrun_model_staleness_seconds": status.get("model_staleness_s"),
        "riverrun_recovery_seconds": status["recovery_s"],
        "riverrun_snapshot_age_seconds": snapshot.get("age_s"),
        "riverrun_snapshot_bytes": snapshot.get("bytes"),
        "riverrun_snapshot_seconds": snapshot.get("cost_s"),
    }
    for name, value in values.items():
        if value is not None:
            yield name, (number,), value
    for store, error in (("redis", "error"), ("archive", "archive_error")):
        if error in snapshot:
            yield "riverrun_snapshot_failing", (number, store), float(bool(snapshot[error]))
