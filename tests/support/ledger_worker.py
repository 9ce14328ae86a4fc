"""A worker of a use case without a model: `python -P ledger_worker.py '<settings as JSON>'`."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from ledger import Ledger

from streams.wiring import Pace
from streams.worker import run_worker


def main() -> int:
    """Run until told to stop."""
    given = json.loads(sys.argv[1])
    logging.basicConfig(level=given.get("log", "INFO"), format="%(asctime)s %(name)s %(message)s")
    return run_worker(
        lambda _: Ledger(),
        client={"bootstrap_servers": given["bootstrap_servers"]},
        topics=given["topics"],
        group_id=given["group"],
        pace=Pace(**given.get("pace", {})),
        instance=given.get("instance"),
        redis_url=given.get("redis_url"),
        health_port=given.get("health_port"),
    )


if __name__ == "__main__":
    sys.exit(main())
