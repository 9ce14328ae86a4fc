"""`apply` never fails, whatever comes: every kind, metric and safeguard on degenerate data."""

from __future__ import annotations

import os
import pickle
from collections.abc import Sequence

import orjson
import pytest
from hypothesis import HealthCheck, Phase, given, note, settings

from models.inputs.decoder import HISTORY, KIND_HEADER, DecodedRecord, PlainRecord
from models.outputs.output_records import Output
from models.spec.use_case import UseCase
from models.task.checkpoint import parts_of, take_parts
from models.validation import mistakes
from schemas.topics import INPUTS
from tests.support.one_partition import RECORDS
from tests.support.task_runs import Given, Run
from tests.support.use_cases.degenerate import CASES, Case, records, use_case_of

LONG_AFTER_MS = 4_102_444_800_000
MINUTE = settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
)
HOUR = settings(MINUTE, max_examples=int(os.environ.get("RIVERRUN_FUZZ_EXAMPLES", "1000")))


class Edge(Run):
    """A run whose history records say what they are, and whose detectors need little to judge."""

    def __init__(self, case: UseCase) -> None:
        super().__init__(case)
        breaker = self.task.router.safeguard.breaker
        breaker.warm, breaker.examples_between, breaker.back, breaker.open_min = 30, 50.0, 5.0, 10

    def give(self, records: Sequence[Given]) -> list[Output]:
        """Apply them in this order."""
        outputs = super().give(records)
        monitor = self.task.watcher.monitor
        if monitor is not None and monitor.reference != 2:
            monitor.reference, monitor.blocks_between, monitor.records_between = 2, 3.0, 20.0
            for watch in monitor.watches:
                watch.reference, watch.records_min = 2, 3
        return outputs

    def read(self, record: Given) -> DecodedRecord:
        """Read one record at the next offset."""
        offset = self.offsets[record.index]
        self.offsets[record.index] += 1
        headers = ((KIND_HEADER, b"event"),) if record.index == HISTORY else ()
        raw = PlainRecord(
            INPUTS[record.index], 0, offset, LONG_AFTER_MS, record.key, record.value, headers
        )
        return self.task.read(record.index, raw)


def tried(case: Case, count: int) -> None:
    """Drive a case; at two thirds its state is taken apart and put together again."""
    note(str(case))
    declared = use_case_of(case)
    assert not mistakes(declared)
    one = Edge(declared)
    feed = list(records(case, count))
    outputs: list[Output] = []
    for number, record in enumerate(feed[: 2 * len(feed) // 3]):
        outputs += one.give([record])
        if number % 97 == 0:
            outputs += one.task.report()
            one.task.seal()
    one.task.seal()
    other = Edge(declared)
    take_parts(
        other.task, *pickle.loads(pickle.dumps((parts_of(one.task), one.task.ledger.entries)))
    )
    other.offsets = list(one.offsets)
    one.task.metrics.touch()
    rest = feed[2 * len(feed) // 3 :]
    after = one.give(rest)
    assert other.give(rest) == after
    one.task.maturity._reported.clear()
    told = one.task.report()
    assert other.task.report() == told
    check([*outputs, *after, *told])


def check(outputs: list[Output]) -> None:
    """Each output is a record of its kind, without NaN; no event is answered twice."""
    for out in outputs:
        if out.kind in RECORDS:
            RECORDS[out.kind].model_validate_json(out.value)
        else:
            orjson.loads(out.value)


@pytest.mark.slow
@given(CASES)
@MINUTE
def test_apply_takes_whatever_comes(case: Case):
    """Each record is answered, learnt or refused in words; a restored task says the same bytes."""
    tried(case, 700)


@pytest.mark.soak
@pytest.mark.timeout(3 * 3_600)
@given(CASES)
@HOUR
def test_apply_takes_whatever_comes_for_an_hour(case: Case):
    """The same, longer and more often: drift, contests and the breaker come to verdicts."""
    tried(case, 2_500)
