"""Bytewax: a dataflow with a stateful step keyed by partition; at least once.

    BENCH_BROKERS=… BENCH_TOPIC=… BENCH_OUTPUT=… python -m bytewax.run bytewax_flow:flow

As its documentation has it: `kop.input`, `op.stateful_flat_map`, `kop.output`
(https://docs.bytewax.io/stable/guide/concepts/kafka.html and .../stateful-operators.html). No
recovery store, so the state goes with the process.
"""

from __future__ import annotations

import os
from typing import Any

import bytewax.operators as op
import orjson
from bytewax.connectors.kafka import KafkaSinkMessage, KafkaSourceMessage
from bytewax.connectors.kafka import operators as kop
from bytewax.dataflow import Dataflow
from flights_models import Loop

BROKERS = os.environ["BENCH_BROKERS"].split(",")


def keyed(message: KafkaSourceMessage[Any, Any]) -> tuple[str, tuple[bytes, dict[str, Any]]]:
    """Each partition has its own state."""
    return str(message.partition), (message.key, orjson.loads(message.value))


def step(
    loop: Loop | None, item: tuple[bytes, dict[str, Any]]
) -> tuple[Loop, list[KafkaSinkMessage[bytes, bytes]]]:
    """Predict or learn."""
    key, body = item
    loop = loop or Loop()
    prediction = loop.record(0, body)
    return loop, [] if prediction is None else [KafkaSinkMessage(key, orjson.dumps(prediction))]


flow = Dataflow("flights")
source = kop.input("in", flow, brokers=BROKERS, topics=[os.environ["BENCH_TOPIC"]])
records = op.map("keyed", source.oks, keyed)
predictions = op.stateful_flat_map("model", records, step)
kop.output("out", op.map("unkeyed", predictions, lambda pair: pair[1]), brokers=BROKERS,
           topic=os.environ["BENCH_OUTPUT"])  # fmt: skip
