"""Workers under one parent that has imported everything and starts them again at once.

    parent ── fork ──▶ worker 0        ended by a signal, or with 75 or 3: started again
           ── fork ──▶ worker 1        ended with anything else: left alone
           SIGTERM, SIGINT ──▶ all of them

River with SciPy takes seconds of CPU to import, as long as a killed worker's session lasts. A fork
of this parent is there in a fraction of a second: it claims the same member id, and no partition
moves. The parent holds no connection and runs no thread. If it dies, however hard, its workers end
with it: each holds the end of a pipe that closes with the parent.
"""

from __future__ import annotations

import gc
import logging
import os
import select
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass

log = logging.getLogger("riverrun.supervising")

AGAIN = frozenset((os.EX_TEMPFAIL, 3))
"""Exit codes that ask to be started again: a server is not to be had, or a partition stalls."""

SETTLED_S = 10.0
"""A worker that lived for so long was well; the next one starts without delay."""

DELAY_S, DELAY_S_MAX = 0.5, 30.0
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@dataclass
class _Slot:
    """One worker's: its process, and when the next is due if it has none."""

    pid: int | None = None
    began: float = 0.0
    due: float | None = 0.0
    delay_s: float = 0.0
    settled: bool = False


class Supervisor:
    """Keeps `count` workers running; `work(n)` is the n-th one's whole life, and its exit code.

    `names`: what each works on, for the log.
    """

    def __init__(
        self, work: Callable[[int], int], count: int, names: Sequence[str] | None = None
    ) -> None:
        self._work = work
        self._names = names or [""] * count
        self._slots = [_Slot() for _ in range(count)]
        self._ending = False
        self._code = 0

    def run(self) -> int:
        """Run until all have ended for good; return the worst of their exit codes.

        A worker that ends before it was settled, and never had been, is not started again: what
        keeps it from beginning is for a person to see.
        """
        gc.collect()
        gc.freeze()  # shared pages stay shared
        self._leash = os.pipe()
        self._wakeup = os.pipe()
        os.set_blocking(self._wakeup[1], False)
        signal.set_wakeup_fd(self._wakeup[1])
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in _SIGNALS:
            signal.signal(number, self._end)
        while any(slot.pid or slot.due is not None for slot in self._slots):
            self._start_due()
            self._sleep()
            self._reap()
        return self._code

    def _end(self, number: int, _: object) -> None:
        self._ending = True
        for slot in self._slots:
            slot.due = None
            if slot.pid is not None:
                os.kill(slot.pid, number)

    def _start_due(self) -> None:
        now = time.monotonic()
        for n, slot in enumerate(self._slots):
            if slot.due is None or slot.due > now or self._ending:
                continue
            slot.due, slot.began = None, now
            # A signal between fork and here would miss the child: it waits until the pid is known.
            signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
            pid = os.fork()
            if not pid:
                self._be_worker(n)
            slot.pid = pid
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)

    def _sleep(self) -> None:
        now = time.monotonic()
        waits = [slot.due - now for slot in self._slots if slot.due is not None]
        timeout = max(0.0, min(waits)) if waits else None
        if select.select([self._wakeup[0]], [], [], timeout)[0]:
            os.read(self._wakeup[0], 4_096)

    def _reap(self) -> None:
        for n, slot in enumerate(self._slots):
            if slot.pid is None:
                continue
            pid, status = os.waitpid(slot.pid, os.WNOHANG)
            if pid:
                slot.pid = None
                self._ended(n, slot, os.waitstatus_to_exitcode(status))

    def _ended(self, n: int, slot: _Slot, code: int) -> None:
        lived_s = time.monotonic() - slot.began
        if self._ending and -code in _SIGNALS:
            code = 0  # it was told so before it had begun to listen
        slot.settled = slot.settled or lived_s >= SETTLED_S or code < 0
        if self._ending or not slot.settled or not (code < 0 or code in AGAIN):
            self._code = max(self._code, abs(code))
            return
        slot.delay_s = 0.0 if lived_s >= SETTLED_S else _longer(slot.delay_s)
        slot.due = time.monotonic() + slot.delay_s
        ending = f"was ended by signal {-code}" if code < 0 else f"ended with {code}"
        name = f"{n} of {self._names[n]}" if self._names[n] else str(n)
        log.warning("worker %s %s; again in %.1f s", name, ending, slot.delay_s)

    def _be_worker(self, n: int) -> None:
        code = os.EX_SOFTWARE
        try:
            signal.set_wakeup_fd(-1)
            for number in (*_SIGNALS, signal.SIGCHLD):
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
            for end in (self._leash[1], *self._wakeup):
                os.close(end)
            threading.Thread(target=_end_with, args=(self._leash[0],), daemon=True).start()
            code = self._work(n)
        except BaseException:
            traceback.print_exc()
        finally:
            logging.shutdown()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)


def _longer(delay_s: float) -> float:
    return min(2 * delay_s or DELAY_S, DELAY_S_MAX)


def _end_with(leash: int) -> None:
    os.read(leash, 1)  # nobody writes: it ends with the parent
    os._exit(os.EX_TEMPFAIL)
