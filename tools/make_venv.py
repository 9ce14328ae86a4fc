"""Make the virtual environment of this checkout from requirements.lock: `make setup` runs it.

It is whole or not there: it is stamped last, with what it was made from, and what a failure or an
interruption leaves behind is removed. An environment that was there before is put back.

Standard library only, in words that Python 3.6 understands, so that any `python3` can say what is
missing.
"""

import errno
import fcntl
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ("requirements.lock", "pyproject.toml")
PYTHON_LEAST = (3, 11)
NEEDED_MB, FREE_MB_MIN = 1500, 20
STAMP, LOG = ".installed", "pip.log"
# Of an activated environment, which may be the very one that is made again, the Python beneath.
PYTHON = getattr(sys, "_base_executable", None) or sys.executable
CA_FILE = "/etc/ssl/certs/ca-certificates.crt"
AGAIN = "Then run the same command again."

NO_ROOM = (
    "There is no room left. About {needed} MB are needed in {root}, and some in {temporary} (or "
    "where TMPDIR says). " + AGAIN
)
NOT_WRITABLE = "This folder cannot be written to: copy the checkout to one of yours."
ADVICE = (
    (r"No space left on device|Disk quota exceeded|os error (28|122)\)", NO_ROOM),
    (
        r"CERTIFICATE_VERIFY_FAILED|certificate verify failed|invalid peer certificate"
        r"|UnknownIssuer|TLS CA certificate bundle, invalid path",
        "The package index's certificate could not be verified. Where a company's proxy or mirror "
        "signs with a certificate of its own, name the file with that CA (PEM), for example\n"
        "  export PIP_CERT={ca_file} SSL_CERT_FILE={ca_file}\n"
        "pip reads the first, uv the second. A clock that is wrong has the same effect. " + AGAIN,
    ),
    (
        r"407 Proxy|Cannot connect to proxy|ProxyError|Tunnel connection failed|tunnel error",
        "The proxy did not let it through. HTTPS_PROXY is {proxy}; it has the form "
        "http://user:password@host:port. " + AGAIN,
    ),
    (r"Read-only file system|Permission denied|Operation not permitted", NOT_WRITABLE),
    (
        r"DO NOT MATCH THE HASHES|[Hh]ash mismatch",
        "The package index served other bytes than those that were locked. A download that was "
        "cut short, or a stale cache: `pip cache purge` (uv: `uv cache clean`). " + AGAIN + " If "
        "it happens again, your index or proxy changes packages: do not install them.",
    ),
    (
        r"40[13] Client Error|HTTP status client error \(40[13]|returned a 40[13] ",
        "The package index refused the request: credentials belong into PIP_INDEX_URL (uv: "
        "UV_DEFAULT_INDEX) or ~/.netrc. " + AGAIN,
    ),
    (
        r"NewConnectionError|NameResolutionError|name resolution|Name or service not known"
        r"|Max retries exceeded|[Cc]onnection (refused|broken|reset)|Network is unreachable"
        r"|ConnectTimeout|[Rr]ead timed out|ReadTimeout|5\d\d Server Error|Failed to fetch"
        r"|error sending request|dns error",
        "The package index could not be reached, or did not work. Is this machine on the network? "
        "Behind a proxy set HTTPS_PROXY; for a mirror set PIP_INDEX_URL (uv: UV_DEFAULT_INDEX). "
        + AGAIN,
    ),
    (
        r"No matching distribution found|No solution found|has no wheels with a matching",
        "The package index has no such version for this Python ({version}) and machine: your "
        "index may be a mirror that lacks it, or this Python too new or too old. Another Python: "
        "`make setup PYTHON=python3.11`.",
    ),
    (
        r"[Ff]ailed building wheel|metadata-generation-failed|Failed to build",
        "A package has no ready wheel for this Python ({version}) and machine, and could not be "
        "built. Another Python: `make setup PYTHON=python3.11`.",
    ),
)
OTHERWISE = (
    "The lines above say why. With uv on your PATH, `make setup UV=` uses pip instead. " + AGAIN
)


class Failure(Exception):
    """Why there is no environment, and what to do."""


class Interrupted(BaseException):
    """A signal asked this process to end."""


def main(folder, uv):
    """Make the environment in `folder`, unless the one that is there is whole and current."""
    os.chdir(str(ROOT))
    folder = ROOT / folder
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupted)
    try:
        with Alone():
            if not current(folder):
                check_python()
                replace(folder, uv)
    except Failure as failure:
        say(f"cannot set up {folder}: {failure}")
        return 1
    except Interrupted:
        say("the set-up was interrupted. Run the same command to begin it again.")
        return 130
    except OSError as error:
        say(f"cannot set up {folder}: {error}. {advice_of(error)}")
        return 1
    return 0


def check_python():
    """Raise `Failure` if this Python is too old."""
    if sys.version_info < PYTHON_LEAST:
        least = ".".join(map(str, PYTHON_LEAST))
        others = [f"python3.{minor}" for minor in range(PYTHON_LEAST[1], 20)]
        known = [name for name in others if runs(name)]
        raise Failure(
            "riverrun needs Python {} or later, and {} is {}. {}".format(
                least,
                PYTHON,
                version(),
                f"This machine has another: add PYTHON={known[-1]} to the command."
                if known
                else "Install one (Debian and Ubuntu: apt install python3.11 python3.11-venv; "
                "anywhere: uv python install 3.11) and add PYTHON=/path/to/it to the command.",
            )
        )


def runs(program):
    """Whether a program is there and works; pyenv has shims for versions that are not active."""
    if shutil.which(program) is None:
        return False
    command = [program, "-c", ""]
    return subprocess.call(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) == 0


class Alone:
    """One set-up at a time in this checkout: a second one waits for the first."""

    def __enter__(self):
        self.descriptor = os.open(str(ROOT), os.O_RDONLY)
        fcntl.flock(self.descriptor, fcntl.LOCK_EX)

    def __exit__(self, *_):
        os.close(self.descriptor)


def origin(folder):
    """What an environment is made from: the sources' bytes, and its own place."""
    digest = hashlib.sha256()
    for name in SOURCES:
        digest.update(Path(name).read_bytes())
    return f"{digest.hexdigest()}\n{folder}\n"


def current(folder):
    """Whether the environment is whole, works, and is made from the sources as they are.

    One of another Python than this is not, unless this one is too old for any.
    """
    try:
        made_from = (folder / STAMP).read_text()
        python = str(folder / "bin" / "python")
        code = "import sys; print(*sys.version_info[:2], sep='.')"
        told = subprocess.check_output([python, "-I", "-c", code], stderr=subprocess.DEVNULL)
    except (OSError, subprocess.CalledProcessError):
        return False
    this = "{}.{}".format(*sys.version_info[:2])
    usable = told.decode().strip() == this or sys.version_info < PYTHON_LEAST
    return made_from == origin(folder) and usable


def replace(folder, uv):
    """Make it again; the one before is set aside, and put back if that fails."""
    before, stamp = folder.with_name(folder.name + ".before"), folder / STAMP
    if (before / STAMP).exists() and not stamp.exists():  # a set-up was killed
        remove(folder)
        before.rename(folder)
    say(f"setting up {folder} (once; about a minute)")
    try:
        remove(before)
        if stamp.exists():
            # Only at its own path an environment works: the new one cannot be made beside it.
            folder.rename(before)
        elif folder.exists():
            say("what is there is not whole, or not made by `make setup`, and is replaced.")
            remove(folder)
        fill(folder, uv)
        stamp.write_text(origin(folder))
    except BaseException:
        ignore_signals()
        if before.exists():
            remove(folder)
            before.rename(folder)
            say(f"{folder} is as it was before, which is not what requirements.lock says.")
        elif not stamp.exists():
            remove(folder)
        raise
    remove(before)


def fill(folder, uv):
    """Create the environment and install into it, every archive checked by its hash."""
    python = str(folder / "bin" / "python")
    locked = ["--require-hashes", "-r", SOURCES[0]]
    itself = ["--no-deps", "--no-build-isolation", "-e", "."]
    if uv and shutil.which(uv):
        run([uv, "venv", "-q", "--python", PYTHON, str(folder)], folder)
        install = [uv, "pip", "install", "-q", "--python", python]
    else:
        create(folder)
        # -I and --no-user: PYTHONPATH and a `user = true` of pip's settings are not for this.
        install = [python, "-I", "-m", "pip", "install", "-q", "--no-user", "--progress-bar", "off"]
        install += ["--disable-pip-version-check", "--log", str(folder / LOG)]
    run(install + locked, folder)
    run(install + itself, folder)


def create(folder):
    """An environment with its own pip."""
    try:
        import ensurepip  # noqa: F401 - Debian ships it apart
        import venv  # noqa: F401 - as above
    except ImportError:
        of = "python{}.{}-venv".format(*sys.version_info[:2])
        raise Failure(
            f"{PYTHON} has no `venv`. On Debian and Ubuntu: apt install {of} (or python3-venv). "
            "Elsewhere take a Python that has it, and add PYTHON=/path/to/it to the command, or "
            f"install uv. {AGAIN}"
        ) from None
    run([PYTHON, "-I", "-m", "venv", str(folder)], folder)


def run(command, folder):
    """Run a command, its words shown; `Failure`, with advice, if it fails."""
    lines = []
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        for line in process.stdout:
            lines.append(line.decode("utf-8", "replace"))
            sys.stderr.write(lines[-1])
            sys.stderr.flush()
        code = process.wait()
    except BaseException:
        process.terminate()
        process.wait()
        raise
    if code != 0:
        reasons = unfetched(folder)
        sys.stderr.writelines(reasons)
        words = advice("".join(lines + reasons))
        name = Path(command[0]).name if command[1] != "-I" else " ".join(command[3:5])
        raise Failure(f"`{name}` failed with exit code {code}.\n{words}")


def unfetched(folder):
    """The last reason why pip got no list of versions, which it writes into its log alone."""
    try:
        lines = (folder / LOG).read_text(errors="replace").splitlines(True)
    except OSError:
        return []
    return [line for line in lines if "Could not fetch URL" in line][-1:]


def advice(output):
    """What to do, by what was said."""
    for pattern, words in ADVICE:
        if re.search(pattern, output):
            return filled(words)
    if shutil.disk_usage(str(ROOT)).free < FREE_MB_MIN << 20:  # venv does not say so
        return filled(NO_ROOM)
    return OTHERWISE


def advice_of(error):
    """What to do about an error of the file system."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return filled(NO_ROOM)
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return NOT_WRITABLE
    return AGAIN


def filled(words):
    """Advice with this machine's facts in it; a proxy's password is not among them."""
    proxy = os.environ.get("HTTPS_PROXY") or os.environ.get("https_proxy") or "not set"
    return words.format(
        root=ROOT,
        needed=NEEDED_MB,
        temporary=os.environ.get("TMPDIR", "/tmp"),
        ca_file=CA_FILE,
        proxy=re.sub(r"//[^/@]*@", "//***@", proxy),
        version=version(),
    )


def version():
    """This Python's version."""
    return ".".join(map(str, sys.version_info[:3]))


def remove(folder):
    """Remove a folder or a link, if it is there."""
    if folder.is_symlink():
        folder.unlink()
    elif folder.is_dir():
        if (folder / STAMP).exists():  # half of it is not to be taken for a whole one
            (folder / STAMP).unlink()
        shutil.rmtree(str(folder))


def interrupted(number, frame):
    """Turn a signal into an exception, once."""
    ignore_signals()
    raise Interrupted


def ignore_signals():
    """From here on only what is left is cleared away."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def say(words):
    """Tell the person."""
    sys.stderr.write(f"riverrun: {words}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else ""))
