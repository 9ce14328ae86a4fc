"""A worker of a use case without a model: `python -P ledger_worker.py '<settings as JSON>'`."""

from __future__ import annotations

import json
import logging
import sys

from schemas.topics import LEARNER
from streams.partition.ports import Pace
from streams.worker.worker import run_worker
from streams.worker.worker_config import WorkerConfig
from tests.support.ledger.ledger import Ledger
from tests.support.ledger.ledger_learner import Answering, Learning


def main() -> int:
    """Run until told to stop."""
    given = json.loads(sys.argv[1])
    logging.basicConfig(level=given.get("log", "INFO"), format="%(asctime)s %(name)s %(message)s")
    partitions = given.get("shared")

    def fresh(number: int) -> Ledger:
        if not partitions:
            return Ledger()
        if number == LEARNER and given.get("broken"):
            raise RuntimeError("told to fail")
        return Learning(partitions) if number == LEARNER else Answering()

    config = WorkerConfig(
        factory=fresh,
        client={"bootstrap_servers": given["bootstrap_servers"]},
        topics=given["topics"],
        group_id=given["group"],
        pace=Pace(**given.get("pace", {})),
        instance=given.get("instance"),
        redis_url=given.get("redis_url"),
        health_port=given.get("health_port"),
        partitions=partitions,
        lead_s=given.get("lead_s") if partitions else None,
    )
    return run_worker(config)


if __name__ == "__main__":
    sys.exit(main())
