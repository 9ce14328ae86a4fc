"""Three real workers, a real Kafka and Redis, and fourteen faults: tests/chaos."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.integration
@pytest.mark.timeout(600)
def test_fifty_thousand_events_and_fourteen_faults() -> None:
    """As `make chaos` runs it: nothing lost, doubled, wrong or different; no partition stalls. Its
    bound on silence is for a machine of its own; here two minutes, as folds share processors.
    """
    command = [sys.executable, "-P", "-m", "tests.chaos", "--events", "50000", "--faults", "14"]
    command += ["--stall", "120"]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        timeout=570,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-8_000:]
    said = dict(re.findall(r"^(events|faults|duplicates|lost|wrong) +([\d,]+)$", done.stdout, re.M))
    assert int(said["events"].replace(",", "")) >= 50_000
    assert int(said["faults"]) >= 10
    assert (said["duplicates"], said["lost"], said["wrong"]) == ("0", "0", "0")
    assert "identical to a fresh fold         yes" in done.stdout
