"""River alone: the same models on records in memory, no Kafka, no bytes.

    python river_alone.py RECORDS.jsonl MODELS [--say]

Prints {"events": …, "cpu_s": …, "wall_s": …} of predicting and learning alone; with --say, what
was said of each event.
"""

from __future__ import annotations

import itertools
import json
import sys
import time
from pathlib import Path

from flights_models import Loop

BLOCK = 500


def main() -> None:
    """Play the records, parsed a few hundred at a time as a loop would have them, off the clock."""
    path, loop = Path(sys.argv[1]), Loop(int(sys.argv[2]))
    predictions: dict[str, float] = {}
    cpu_s = wall_s = 0.0
    with path.open() as file:
        while records := [json.loads(line) for line in itertools.islice(file, BLOCK)]:
            cpu, wall = time.process_time(), time.perf_counter()
            for partition, body in records:
                if "arr_delay" in body:
                    loop.outcome(partition, body)
                else:
                    predictions[body["event_id"]] = loop.event(partition, body)[1]
            cpu_s += time.process_time() - cpu
            wall_s += time.perf_counter() - wall
    took = {"events": len(predictions), "cpu_s": cpu_s, "wall_s": wall_s}
    print(json.dumps(predictions if "--say" in sys.argv else took))


if __name__ == "__main__":
    main()
