"""Keep a use case's predictions in SQLite, each exactly once, whatever is killed when.

python docs/examples/read_predictions.py localhost:9092 flight_eta predictions.db
"""

import argparse
import json
import sqlite3

from riverrun.client import read


def main() -> None:
    """Read for ever, or to what is the end now."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("servers")
    arguments.add_argument("use_case")
    arguments.add_argument("database")
    arguments.add_argument("--prefix", default="")
    arguments.add_argument("--to-end", action="store_true")
    arguments.add_argument("--batch", type=int, default=1_000)
    given = arguments.parse_args()

    kept = sqlite3.connect(given.database)
    kept.execute("CREATE TABLE IF NOT EXISTS said (event_id TEXT PRIMARY KEY, value REAL)")
    kept.execute("CREATE TABLE IF NOT EXISTS position (at TEXT)")
    row = kept.execute("SELECT at FROM position").fetchone()
    batches = read(
        given.servers,
        given.use_case,
        position=json.loads(row[0]) if row else None,
        prefix=given.prefix,
        to_end=given.to_end,
        records_max=given.batch,
    )
    for batch in batches:
        with kept:  # one transaction: the results and the position, or neither
            kept.executemany(
                "INSERT INTO said VALUES (?, ?)", [(p.event_id, p.value) for p in batch.records]
            )
            kept.execute("DELETE FROM position")
            kept.execute("INSERT INTO position VALUES (?)", [json.dumps(batch.position)])


if __name__ == "__main__":
    main()
