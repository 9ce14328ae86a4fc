"""The real core and recovery under faults from a seed: tests/simulation."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.fate import STEPS
from tests.simulation.plants import PLANTED
from tests.simulation.world import simulate

ROOT = Path(__file__).parents[3]
SEEDS = 500


@pytest.mark.integration
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("seeds", [60, pytest.param(SEEDS, marks=pytest.mark.soak)])
def test_seeds_lose_double_and_change_nothing(seeds: int) -> None:
    """As `make simulate` runs it: no failure, everything drains, and each step was crashed at."""
    # In one process: other tests want the other core.
    command = [sys.executable, "-P", "-m", "tests.simulation", "--jobs", "1"]
    done = subprocess.run(
        [*command, "--runs", str(seeds)],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        timeout=1_770,
    )
    assert done.returncode == 0, done.stderr[-5_000:] + done.stdout
    crashes = {
        step: int(count.replace(",", ""))
        for step, count in re.findall(r"crash at (.+?)  +([\d,]+)", done.stdout)
    }
    assert crashes.keys() == STEPS.keys()
    assert min(crashes.values()) > 0


@pytest.mark.slow
@pytest.mark.parametrize("bug", PLANTED)
def test_a_planted_bug_is_found(bug: str) -> None:
    """Within 500 seeds, or the simulation proves nothing; without the bug that seed is clean."""
    for seed in range(SEEDS):
        if simulate(seed, plants=PLANTED[bug]).failures:
            assert not simulate(seed).failures
            return
    pytest.fail(f"{bug}: not found in {SEEDS} seeds")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_a_seed_is_a_run(seed: int) -> None:
    """The same seed gives the same records at the same offsets, and the same faults."""
    one, again = simulate(seed), simulate(seed)
    assert one.digest == again.digest
    assert (one.faults, one.reached, one.drained_s) == (
        again.faults,
        again.reached,
        again.drained_s,
    )
    assert not one.failures
