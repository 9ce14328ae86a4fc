"""Three real workers, a real Kafka and Redis, and faults: tests/chaos."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


FEW = ("kill -9 of the learner", "kill -9 of two", "broker killed", "Redis FLUSHALL")
SIZE = ("--events", "2000", "--rate", "60", "--faults", "4", "--kills", "3")
SHORT = ("--shared", *SIZE, "--only", *FEW)
WHOLE = ("--shared", "--events", "50000", "--faults", "16")


@pytest.mark.integration
@pytest.mark.timeout(1_200)
@pytest.mark.parametrize(
    "size",
    [pytest.param(SHORT, id="short"), pytest.param(WHOLE, id="whole", marks=pytest.mark.soak)],
)
def test_nothing_is_lost_doubled_or_different_under_faults(size: tuple[str, ...]) -> None:
    """As `make chaos` runs it, and no partition stalls. Its bound on silence is for a machine of
    its own; here two minutes, as folds share processors.
    """
    done = subprocess.run(
        [sys.executable, "-P", "-m", "tests.chaos", "--stall", "120", *size],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        timeout=1_170,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-8_000:]
    counts = re.findall(r"^(events|faults|duplicates|lost|wrong) +([\d,]+)$", done.stdout, re.M)
    totals = {name: int(count.replace(",", "")) for name, count in counts}
    assert totals["events"] >= int(size[size.index("--events") + 1])
    assert totals["faults"] >= 3
    assert (totals["duplicates"], totals["lost"], totals["wrong"]) == (0, 0, 0)
    assert "identical to a fresh fold         yes" in done.stdout
