"""The longest silence of any partition while all workers are restarted one after another, at 300/s.

    python -P -m benchmarks.workers.rolling_restart [--rate N] [--workers N] [--rounds N]

Real flights on embedded servers. Each worker in turn is told to stop (SIGTERM), one takes its
place, and the next is stopped once all are ready (`/readyz`), as OPERATIONS advises. A partition's
silence is the longest time from sending one of its events to reading its committed prediction.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

from benchmarks.servers import servers
from benchmarks.workers.latency import LIGHT, Bench
from streams.config.settings import Settings
from streams.embedded.free_ports import free_ports

READY_S_MAX = 60.0


class RollingRestart(Bench):
    """A stream at one rate, under which every worker is replaced."""

    def __init__(self, settings: Settings, workers: int, rounds: int, use_case: str) -> None:
        super().__init__(settings, {}, workers, use_case)
        self.rounds = rounds
        self.ports = free_ports(workers)

    def start(self) -> None:
        """Start a worker on each port."""
        self.workers = [self.launch(port) for port in self.ports]
        self._ready()

    def _ready(self) -> None:
        deadline = time.monotonic() + READY_S_MAX
        while not all(map(_is_ready, self.ports)):
            if time.monotonic() > deadline:
                sys.exit(f"not all workers were ready within {READY_S_MAX:.0f} s; see above")
            time.sleep(0.1)

    def _measure(self, rate: float, seconds: float) -> str:
        self.took.clear()
        over = threading.Event()
        rolling = threading.Thread(target=self._roll, args=(over,))
        rolling.start()
        count = 0
        while not over.is_set():
            count += self._stream(rate, 0.5)
        rolling.join()
        self._answered(count)
        return f"{len(self.took):>10,}{max(self.took):>12.2f}"

    def _roll(self, over: threading.Event) -> None:
        try:
            for _ in range(self.rounds):
                for number, port in enumerate(self.ports):
                    self.workers[number].send_signal(signal.SIGTERM)
                    self.workers[number].wait(30)
                    self.workers[number] = self.launch(port)
                    self._ready()
        finally:
            over.set()


def _is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rate", type=float, default=300)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--use-case", default=LIGHT, help="a file, or flight_eta")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="riverrun-rolling-") as folder:
        home = Path(folder)
        with servers(home, purge=True) as endpoints:
            settings = Settings.load(riverrun_home=home)
            settings = settings.at(
                endpoints.bootstrap_servers, endpoints.redis_url, endpoints.kafka_password
            )
            print(f"{'events':>10}{'silence s':>12}")
            one = RollingRestart(settings, options.workers, options.rounds, options.use_case)
            print(one.run(options.rate, 0.0), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
