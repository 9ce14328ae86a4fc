"""A process that has imported everything, runs no thread, and forks trainers when it is asked.

    worker ── fork, before it has threads ──▶ fork server ── fork, when asked ──▶ trainer
           ◀──────────── a socket pair, whose other end the trainer is handed ───────┘

A worker must not fork once Kafka's clients run: a lock that another thread holds would never be
released in the child. Here there are none. Both end with the worker, however hard it dies, since
the sockets close; and both ignore the signals that tell a worker to stop, as it still needs them
for its last snapshot.
"""

from __future__ import annotations

import os
import signal
import socket
import traceback
import warnings
from collections.abc import Callable
from typing import NoReturn

from schemas.errors import Unavailable

ANSWER_S = 10.0
PID_BYTES = 4
DESCRIPTORS_MAX = 65_536
_STANDARD = 3

Work = Callable[[socket.socket], None]
"""A trainer's whole life, given its end of the socket pair."""


class ForkServer:
    """The worker's side. To be made before the process has threads. spawn* → close."""

    def __init__(self, work: Work) -> None:
        self._channel, channel = socket.socketpair()
        self._channel.settimeout(ANSWER_S)
        self.pid = _forked()
        if not self.pid:
            _serve(channel, work)
        channel.close()

    def spawn(self) -> tuple[socket.socket, int]:
        """Return the socket and the process id of a new trainer; raise `Unavailable` if none can
        be had.
        """
        near_end, far_end = socket.socketpair()
        try:
            with far_end:
                socket.send_fds(self._channel, [b"+"], [far_end.fileno()])
            pid = int.from_bytes(self._channel.recv(PID_BYTES, socket.MSG_WAITALL))
        except OSError as error:
            near_end.close()
            raise Unavailable(f"the process that starts trainers does not answer: {error}") from (
                error
            )
        if not pid:
            near_end.close()
            raise Unavailable("the process that starts trainers has ended, or has no room for one")
        return near_end, pid

    def close(self) -> None:
        """Let the server end; trainers end with their own sockets."""
        self._channel.close()


def _forked() -> int:
    with warnings.catch_warnings():
        # Python 3.12 warns of threads: there are none that hold a lock.
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def _serve(channel: socket.socket, work: Work) -> NoReturn:
    code = os.EX_SOFTWARE
    try:
        _become_quiet(channel.fileno())
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # trainers that ended are not waited for
        while True:
            asked, descriptors, _, _ = socket.recv_fds(channel, 1, 1)
            if not asked:
                break
            channel.sendall(_trainer(channel, descriptors[0], work).to_bytes(PID_BYTES))
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _trainer(channel: socket.socket, descriptor: int, work: Work) -> int:
    """Fork a trainer and return its process id; 0 if there is no room for one."""
    try:
        pid = _forked()
    except OSError:
        traceback.print_exc()
        os.close(descriptor)
        return 0
    if pid:
        os.close(descriptor)
        return pid
    code = os.EX_SOFTWARE
    try:
        channel.close()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        with socket.socket(fileno=descriptor) as pipe:
            work(pipe)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _become_quiet(keep: int) -> None:
    """Hold nothing of the worker's but standard streams and `keep`, and heed no signal of its."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    os.closerange(_STANDARD, keep)
    os.closerange(keep + 1, DESCRIPTORS_MAX)
