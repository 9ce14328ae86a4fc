"""`make setup`: the environment is whole or not there, and a failure says what to do."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
BARE = ROOT / ".ci/bare"
LOCKED = re.compile(r"^([\w.-]+)(?:\[([\w,]+)\])?==", re.MULTILINE)


@dataclass(frozen=True)
class Checkout:
    """A folder with what set-up reads, and a `uv` in place of the real one."""

    folder: Path

    @property
    def environment(self) -> Path:
        """Where the environment belongs."""
        return self.folder / ".venv"

    def uv(self, install: str) -> None:
        """Let `uv venv` make an environment without pip, and `uv pip install` do what is said."""
        program = self.folder / "uv"
        make = f"exec {sys.executable} -I -m venv --without-pip .venv"
        program.write_text(f'#!/bin/sh\nif [ "$1" = venv ]; then {make}; fi\n{install}\n')
        program.chmod(0o755)

    def command(self, python: str = sys.executable, uv: str = "./uv") -> list[str]:
        """What the Makefile runs."""
        return [python, str(self.folder / "tools/make_venv.py"), ".venv", uv]

    def set_up(
        self, python: str = sys.executable, uv: str = "./uv", **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run it and wait."""
        return subprocess.run(
            self.command(python, uv),
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def left(self) -> list[str]:
        """Whatever is there of an environment."""
        return sorted(path.name for path in self.folder.glob(".venv*"))


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """A checkout without dependencies, and a set-up that works."""
    folder = tmp_path / "a checkout"
    (folder / "tools").mkdir(parents=True)
    shutil.copy(ROOT / "tools/make_venv.py", folder / "tools")
    (folder / "requirements.lock").write_text("")
    (folder / "pyproject.toml").write_text('[project]\nname = "tiny"\nversion = "1"\n')
    instance = Checkout(folder)
    instance.uv("exit 0")
    return instance


def test_a_set_up_is_done_once_and_again_when_its_sources_change(checkout: Checkout) -> None:
    """The second call does nothing; a changed lock, or a moved folder, makes it again."""
    assert "setting up" in checkout.set_up().stderr
    assert checkout.set_up().stderr == ""
    (checkout.folder / "requirements.lock").write_text("# another\n")
    assert "setting up" in checkout.set_up().stderr
    assert checkout.set_up().stderr == ""
    moved = Checkout(checkout.folder.rename(checkout.folder.with_name("elsewhere")))
    assert "setting up" in moved.set_up().stderr
    assert moved.left() == [".venv"]


def test_an_environment_whose_python_is_gone_is_made_anew(checkout: Checkout) -> None:
    """An upgrade of the system took the interpreter away: the stamp alone proves nothing."""
    checkout.set_up()
    for link in (checkout.environment / "bin").glob("python*"):
        link.unlink()
        link.symlink_to("/nowhere/python")
    assert "setting up" in checkout.set_up().stderr
    assert checkout.set_up().stderr == ""


def test_it_is_made_anew_from_within_itself(checkout: Checkout) -> None:
    """With the environment activated, `python3` is the one that is to be replaced."""
    checkout.set_up()
    (checkout.folder / "requirements.lock").write_text("# another\n")
    done = checkout.set_up(python=str(checkout.environment / "bin/python3"))
    assert done.returncode == 0, done.stderr
    assert checkout.set_up().stderr == ""


@pytest.mark.parametrize(
    ("message", "advised"),
    [
        ("cause: invalid peer certificate: UnknownIssuer", "SSL_CERT_FILE="),
        ("SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED]", "PIP_CERT="),
        (
            "ProxyError('Cannot connect to proxy.', NewConnectionError(",
            "HTTPS_PROXY is http://***@",
        ),
        ("cause: tunnel error: unsuccessful", "HTTPS_PROXY is"),
        ("NewConnectionError('Temporary failure in name resolution')", "on the network"),
        ("cause: dns error: failed to lookup address information", "on the network"),
        ("ReadTimeoutError(\"host='index': Read timed out.\")", "on the network"),
        ("HTTP status server error (503 Service Unavailable): Failed to fetch", "did not work"),
        ("returned a 403 Forbidden error", "credentials"),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES", "do not install them"),
        ("cause: Hash mismatch for `six==1.17.0`", "do not install them"),
        ("Error: [Errno 30] Read-only file system: '.venv'", "copy the checkout"),
        ("error: failed to create directory: Permission denied (os error 13)", "copy the checkout"),
        ("OSError: [Errno 28] No space left on device", "There is no room left"),
        ("failed to write: Disk quota exceeded (os error 122)", "There is no room left"),
        ("ERROR: No matching distribution found for river==0.26.1", "no such version"),
        ("error: No solution found when resolving dependencies", "no such version"),
        ("ERROR: Failed building wheel for river", "no ready wheel"),
        ("something that nobody foresaw", "The lines above say why"),
    ],
)
def test_a_failure_leaves_nothing_and_says_what_to_do(
    checkout: Checkout, message: str, advised: str
) -> None:
    """Whatever pip or uv fails of: its words, the advice for that cause, and no environment."""
    (checkout.folder / "words").write_text(message)
    checkout.uv("cat words; exit 2")
    done = checkout.set_up(HTTPS_PROXY="http://me:secret@proxy:3128")
    assert done.returncode == 1
    assert message in done.stderr
    assert advised in done.stderr.replace(message, "")
    assert "secret" not in done.stderr
    assert checkout.left() == []


def test_a_failed_upgrade_puts_the_environment_back_and_says_so(checkout: Checkout) -> None:
    """What worked before works after; the next call tries again."""
    checkout.set_up()
    (checkout.environment / "mark").write_text("before")
    (checkout.folder / "requirements.lock").write_text("# another\n")
    checkout.uv("echo Hash mismatch; exit 2")
    done = checkout.set_up()
    assert done.returncode == 1
    assert "is as it was before" in done.stderr
    assert (checkout.environment / "mark").read_text() == "before"
    checkout.uv("exit 0")
    assert checkout.set_up().returncode == 0
    assert not (checkout.environment / "mark").exists()
    assert checkout.left() == [".venv"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("before", [False, True])
def test_an_interrupted_set_up_leaves_what_was_there_before(
    checkout: Checkout, number: signal.Signals, before: bool
) -> None:
    """Ctrl-C reaches the whole group, as in a terminal; another signal set-up alone."""
    if before:
        checkout.set_up()
        (checkout.folder / "requirements.lock").write_text("# another\n")
    os.mkfifo(checkout.folder / "begun")
    checkout.uv("echo > begun; sleep 60")
    process = subprocess.Popen(checkout.command(), stderr=subprocess.PIPE, start_new_session=True)
    (checkout.folder / "begun").read_text()
    send: Callable[[int, int], None] = os.killpg if number == signal.SIGINT else os.kill
    send(process.pid, number)
    _, words = process.communicate(timeout=30)
    assert process.returncode == 130
    assert b"interrupted" in words
    assert checkout.left() == ([".venv"] if before else [])


def test_a_set_up_that_was_killed_is_not_taken_for_a_whole_one(checkout: Checkout) -> None:
    """SIGKILL leaves a half: the next call removes it, and the environment before is safe."""
    checkout.set_up()
    (checkout.environment / "mark").write_text("before")
    (checkout.folder / "requirements.lock").write_text("# another\n")
    os.mkfifo(checkout.folder / "begun")
    checkout.uv("echo > begun; sleep 60")
    process = subprocess.Popen(checkout.command(), stderr=subprocess.PIPE, start_new_session=True)
    (checkout.folder / "begun").read_text()
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=30)
    assert checkout.left() == [".venv", ".venv.before"]
    checkout.uv("echo dns error; exit 2")
    assert checkout.set_up().returncode == 1
    assert (checkout.environment / "mark").read_text() == "before"
    checkout.uv("exit 0")
    assert checkout.set_up().returncode == 0
    assert checkout.left() == [".venv"]


def test_a_python_that_is_too_old_is_named_with_another(checkout: Checkout) -> None:
    """The version that is needed, the one that is there, and how to choose; nothing is made."""
    code = f"""
import runpy, sys
sys.version_info = (3, 10, 13, "final", 0)
sys.argv = ["make_venv.py", ".venv", "./uv"]
runpy.run_path({str(checkout.folder / "tools/make_venv.py")!r}, run_name="__main__")
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "needs Python 3.11 or later" in done.stderr
    assert "is 3.10.13" in done.stderr
    assert "PYTHON=" in done.stderr
    assert checkout.left() == []
    # Where the environment is whole, it does not matter what `python3` is.
    checkout.set_up()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("module", ["venv", "ensurepip"])
def test_a_python_without_venv_is_told_what_to_install(checkout: Checkout, module: str) -> None:
    """Debian ships both apart; with uv neither is needed."""
    code = f"""
import runpy, sys
sys.modules[{module!r}] = None
sys.argv = ["make_venv.py", ".venv", ""]
runpy.run_path({str(checkout.folder / "tools/make_venv.py")!r}, run_name="__main__")
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"apt install python{sys.version_info[0]}.{sys.version_info[1]}-venv" in done.stderr
    assert checkout.left() == []


def test_no_python_at_all_is_said_by_make(tmp_path: Path) -> None:
    """The Makefile's own words: what to install, or to name."""
    command = ["make", "-C", str(ROOT), "setup", "PYTHON=python-that-is-not-there"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "Install Python 3.11 or later" in done.stderr


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.ENOSPC, errno.EDQUOT])
def test_a_folder_that_takes_nothing_is_named(checkout: Checkout, number: int) -> None:
    """Read-only, another's, or full: which folder, and what to do."""
    code = f"""
import os, runpy, subprocess, sys
class Popen:
    def __init__(self, *arguments, **settings):
        os.mkdir(".venv")
        raise OSError({number}, os.strerror({number}), ".venv")
subprocess.Popen = Popen
sys.argv = ["make_venv.py", ".venv", "./uv"]
runpy.run_path({str(checkout.folder / "tools/make_venv.py")!r}, run_name="__main__")
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert str(checkout.environment) in done.stderr
    expected = "no room" if number in (errno.ENOSPC, errno.EDQUOT) else "cannot be written to"
    assert expected in done.stderr
    assert checkout.left() == []


def test_the_reason_that_pip_keeps_to_itself_is_shown(checkout: Checkout) -> None:
    """pip says "No matching distribution" of an index that refuses the connection."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    digest = f"--hash=sha256:{'0' * 64}"
    (checkout.folder / "requirements.lock").write_text(f"six==1.17.0 {digest}\n")
    done = checkout.set_up(
        uv="", PIP_INDEX_URL=f"http://127.0.0.1:{port}/simple", PIP_RETRIES="0", PIP_FIND_LINKS=""
    )
    assert "Could not fetch URL" in done.stderr
    assert "Is this machine on the network?" in done.stderr
    assert checkout.left() == []


@pytest.mark.soak  # `.ci/run` sets itself up in this way, so each of its runs is this test, too
@pytest.mark.timeout(1_800)
def test_the_lock_installs_with_an_empty_environment_s_own_pip(tmp_path: Path) -> None:
    """`make setup` without uv, with no cache and an empty HOME; nothing is missing then."""
    command = [BARE, "make", "-C", ROOT, "setup", f"VENV={tmp_path / 'venv'}", "UV="]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    python = tmp_path / "venv/bin/python"
    checked = subprocess.run([python, "-m", "pip", "check"], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout
    subprocess.run([tmp_path / "venv/bin/riverrun", "--help"], capture_output=True, check=True)


def test_a_bare_machine_has_no_settings_of_this_one_but_for_its_network(tmp_path: Path) -> None:
    """HOME is empty, uv is not on PATH, and nothing of the caller is in the environment, except
    certificates, proxies and where packages come from.
    """
    settings = {
        **{"RIVERRUN_HOME": "/x", "KAFKA_BOOTSTRAP_SERVERS": "x:1", "PYTHONPATH": "/x"},
        **{"PIP_CACHE_DIR": "/x", "UV_CACHE_DIR": "/x", "M2_REPO": "/x", "XDG_CACHE_HOME": "/x"},
    }
    variables = {"SSL_CERT_FILE": "/c", "HTTPS_PROXY": "http://p", "PIP_FIND_LINKS": "/w  x"}
    code = """
import json, os, shutil
print(json.dumps([dict(os.environ), os.listdir(os.environ["HOME"]), shutil.which("uv")]))
"""
    (tmp_path / "uv").write_text("#!/bin/sh\n")
    (tmp_path / "uv").chmod(0o755)
    done = subprocess.run(
        [BARE, "python3", "-c", code],
        env={
            **settings,
            **variables,
            "HOME": str(tmp_path),
            "PATH": f"{tmp_path}:{os.environ['PATH']}",
        },
        capture_output=True,
        text=True,
        check=True,
    )
    environment, home, uv = json.loads(done.stdout)
    assert home == []
    assert uv is None
    assert settings.keys().isdisjoint(environment)
    assert {name: environment[name] for name in variables} == variables
    assert not Path(environment["HOME"]).exists()
