"""A worker of a use case without a model: `python -P ledger_worker.py '<settings as JSON>'`."""

from __future__ import annotations

import json
import logging
import sys

from schemas.topics import LEARNER
from streams.partition.pace import Pace
from streams.worker.worker_config import WorkerConfig
from streams.worker.worker_process import run_worker
from tests.support.ledger.ledger import Ledger
from tests.support.ledger.ledger_learner import Answering, Learning


def main() -> int:
    """Run until told to stop."""
    arguments = json.loads(sys.argv[1])
    logging.basicConfig(
        level=arguments.get("log", "INFO"), format="%(asctime)s %(name)s %(message)s"
    )
    partitions = arguments.get("shared")

    def fresh(number: int) -> Ledger:
        if not partitions:
            return Ledger()
        if number == LEARNER and arguments.get("broken"):
            raise RuntimeError("told to fail")
        return Learning(partitions) if number == LEARNER else Answering()

    config = WorkerConfig(
        factory=fresh,
        client={"bootstrap_servers": arguments["bootstrap_servers"]},
        topics=arguments["topics"],
        group_id=arguments["group"],
        pace=Pace(**arguments.get("pace", {})),
        instance=arguments.get("instance"),
        redis_url=arguments.get("redis_url"),
        health_port=arguments.get("health_port"),
        partitions=partitions,
        lead_s=arguments.get("lead_s") if partitions else None,
    )
    return run_worker(config)


if __name__ == "__main__":
    sys.exit(main())
