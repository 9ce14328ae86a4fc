"""The wheel, and what it does where nothing but it and one extra is installed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from email.parser import Parser
from pathlib import Path

import pytest
from uv import find_uv_bin

ROOT = Path(__file__).parents[2]
QUICK = ("consumer", "worker")
"""Extras that `make test` installs; all others in `make test-all`."""
EXTRAS = (
    *("consumer", "models", "worker", "embedded", "demo", "ops", "data"),
    *("sources", "holidays", "aws", "azure", "all"),
)
IMPORTS = {
    "": "schemas.records, schemas.events, schemas.headers, schemas.asyncapi",
    "consumer": "aiokafka, cramjam, redis, schemas.records",
    "models": "models.replay.backtest, usecases.flight_eta",
    "worker": "streams.cli, streams.worker.worker_process",
    "embedded": "streams.embedded",
    "demo": "streams.cli, streams.embedded, usecases.data.nycflights",
    "ops": "streams.cli, streams.web.routes",
    "data": "streams.cli, pyarrow.parquet",
    "sources": "streams.cli, fastavro, grpc_tools, google.protobuf",
    "holidays": "models.replay.backtest, holidays",
    "aws": "streams.cli, aws_msk_iam_sasl_signer",
    "azure": "streams.cli, azure.identity",
    "all": "streams.cli, streams.embedded, streams.web.routes, pyarrow.parquet",
}
FROM_PIP = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "trusted-host": "UV_INSECURE_HOST",
    "no-index": "UV_NO_INDEX",
    "cert": "SSL_CERT_FILE",
}
"""pip's settings by the variable in which uv has the same."""
COMMAND_LINE = ("worker", "demo", "ops", "data", "sources", "aws", "azure", "all")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, built from this tree without a network."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return zipfile.ZipFile(next(folder.glob("*.whl")))


def test_the_wheel_holds_all_that_runs(wheel: zipfile.ZipFile) -> None:
    """Every module and every data file of the four packages, and no test."""
    held = {name for name in wheel.namelist() if ".dist-info/" not in name}
    packages = ("schemas", "models", "riverrun", "streams", "usecases")
    due = {
        str(path.relative_to(ROOT))
        for package in packages
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert held == due


def test_the_wheel_s_extras_are_what_the_readme_offers(wheel: zipfile.ZipFile) -> None:
    """Consumers get two dependencies; models, worker, embedded and demo are extras."""
    name = next(name for name in wheel.namelist() if name.endswith("/METADATA"))
    metadata = Parser().parsestr(wheel.read(name).decode())
    assert set(metadata.get_all("Provides-Extra") or ()) == set(EXTRAS)
    required = [line for line in metadata.get_all("Requires-Dist") or () if "extra ==" not in line]
    assert sorted(line.partition(">=")[0] for line in required) == ["orjson", "pydantic"]


def test_the_consumers_part_imports_without_the_rest() -> None:
    """`schemas` asks for nothing but orjson and pydantic."""
    code = (
        "import sys, schemas.records, schemas.events, schemas.topics, schemas.errors, "
        "schemas.headers, schemas.partitioner; "
        "assert not {'river', 'faust', 'aiokafka', 'redis', 'typer'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-P", "-c", code], check=True)


@dataclass(frozen=True)
class Installation:
    """An environment and a folder, outside the checkout, with nothing of this process' own."""

    environment: Path
    folder: Path

    def run(self, *command: str | Path, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment in the folder, with an empty HOME."""
        program, *arguments = map(str, command)
        cleared = ("PYTHON", "RIVERRUN", "KAFKA", "REDIS", "COVERAGE", "COV_", "PYTEST", "VIRTUAL")
        variables = {k: v for k, v in os.environ.items() if not k.startswith(cleared)}
        return subprocess.run(
            [self.environment / "bin" / program, *arguments],
            cwd=self.folder,
            env={
                **variables,
                **{"HOME": str(self.folder), "NO_COLOR": "1", "COLUMNS": "200"},
                "PYTHONPYCACHEPREFIX": f"{self.environment}.bytecode",
            },
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )


@dataclass(frozen=True)
class Installer:
    """uv with an empty cache of its own, which takes packages from where pip would take them.

    Environments follow each other in one folder, so that bytecode is compiled once for all.
    """

    folder: Path

    def environment(self) -> dict[str, str]:
        """Return the variables that uv is started with; its own settings come before pip's."""
        listed = subprocess.run(
            [sys.executable, "-I", "-m", "pip", "config", "list"], capture_output=True, text=True
        )  # without pip in this environment uv has made it, by its own settings
        settings = re.findall(r"^[\w:]+\.([\w-]+)='(.*)'$", listed.stdout, re.MULTILINE)
        pips = {FROM_PIP[name]: value for name, value in settings if name in FROM_PIP}
        return {**pips, **os.environ, "UV_CACHE_DIR": str(self.folder / "cache")}

    def install(self, *what: str) -> None:
        """Install into the environment; bytecode is left for who needs it."""
        python = str(self.folder / "env/bin/python")
        command = [find_uv_bin(), "pip", "install", "--python", python, *what]
        done = subprocess.run(
            command, env=self.environment(), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def fresh_installation(self, folder: Path, *what: str) -> Installation:
        """Install into an empty environment."""
        environment = self.folder / "env"
        venv = [sys.executable, "-I", "-m", "venv", "--without-pip", "--clear", environment]
        subprocess.run(venv, check=True)
        self.install(*what)
        return Installation(environment, folder)

    def extra(self, folder: Path, wheel: zipfile.ZipFile, extra: str) -> Installation:
        """Install the wheel with an extra into an empty environment, in the lock's versions."""
        pins = str(self.folder / "pins")
        return self.fresh_installation(
            folder, "-c", pins, f"riverrun[{extra}] @ file://{wheel.filename}"
        )


@pytest.fixture(scope="module")
def installer(tmp_path_factory: pytest.TempPathFactory) -> Installer:
    """What installs the wheel. That the bundled pip installs the lock is held in test_setup.py."""
    folder = tmp_path_factory.mktemp("installer")
    lock = (ROOT / "requirements.lock").read_text("utf-8")
    pins = re.findall(r"^([\w.-]+)(?:\[.*?\])?(==[^\s;]+)(.*?) ?\\\\?$", lock, re.MULTILINE)
    (folder / "pins").write_text("\n".join("".join(pin) for pin in pins))
    return Installer(folder)


@pytest.mark.slow
@pytest.mark.parametrize(
    "extra",
    [
        pytest.param(e, marks=[pytest.mark.soak] * (e not in QUICK))
        for e in ("", *EXTRAS)
        if e != "demo"
    ],
)
def test_the_wheel_works_with_each_extra_alone(
    tmp_path: Path, wheel: zipfile.ZipFile, installer: Installer, extra: str
) -> None:
    """In an empty environment, outside the checkout: what the extra is for can be imported; the
    command line runs where it is offered, and elsewhere says what to install.
    """
    target = installer.extra(tmp_path, wheel, extra)
    done = target.run("python", "-P", "-c", f"import {IMPORTS[extra]}")
    assert done.returncode == 0, done.stderr
    done = target.run("riverrun", "--help")
    if extra not in COMMAND_LINE:
        assert done.returncode != 0
        assert "pip install 'riverrun[worker]'" in done.stderr
        assert "Traceback" not in done.stderr
        return
    assert done.returncode == 0, done.stderr
    if extra == "worker":
        tried(target)
        for command in ("up", "doctor"):
            done = target.run("riverrun", command)
            assert done.returncode == 5
            assert "pip install 'riverrun[embedded]'" in done.stderr


def tried(target: Installation) -> None:
    """Write a use case, check it and run it on its recording, as the README does."""
    assert target.run("riverrun", "new", "parcels").returncode == 0
    done = target.run("riverrun", "check", "usecases/parcels.py")
    assert "no mistakes" in done.stdout + done.stderr, done.stderr
    done = target.run("riverrun", "backtest", "parcels")
    assert "10 of 10 events scored" in done.stdout + done.stderr, done.stderr


@pytest.mark.soak
def test_what_the_image_installs_works(
    tmp_path: Path, wheel: zipfile.ZipFile, installer: Installer
) -> None:
    """deploy/requirements.lock and the wheel without its dependencies: what containers run."""
    lock = str(ROOT / "deploy/requirements.lock")
    target = installer.fresh_installation(tmp_path, "--require-hashes", "-r", lock)
    installer.install("--no-deps", str(wheel.filename))
    for command in (["worker", "--help"], ["ops", "--help"], ["status", "--help"]):
        done = target.run("riverrun", *command)
        assert done.returncode == 0, done.stderr
    use_case = str(ROOT / "usecases/flight_eta.py")
    code = f"from streams.config.use_case_loader import load; print(load({use_case!r}).definition)"
    done = target.run("python", "-P", "-c", code)
    assert done.returncode == 0, done.stderr
    tried(target)


@pytest.mark.integration
def test_servers_start_from_the_wheel_outside_the_checkout(
    tmp_path: Path, wheel: zipfile.ZipFile, installer: Installer
) -> None:
    """`riverrun[demo]` brings a Kafka and a Redis: up, healthy, down; nothing is left of them."""
    target = installer.extra(tmp_path, wheel, "demo")
    done = target.run("python", "-P", "-c", f"import {IMPORTS['demo']}")
    assert done.returncode == 0, done.stderr
    try:
        done = target.run("riverrun", "up", "--json")
        assert done.returncode == 0, done.stderr
        done = target.run("riverrun", "doctor")
        assert done.returncode == 0, done.stdout + done.stderr
    finally:
        done = target.run("riverrun", "down", "--purge")
    assert "stopped kafka-1" in done.stdout
    assert not (tmp_path / ".riverrun").exists()
