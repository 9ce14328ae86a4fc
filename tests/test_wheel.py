from __future__ import annotations

import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


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
    packages = ("schemas", "models", "streams", "usecases")
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
    assert set(metadata.get_all("Provides-Extra") or ()) >= {"models", "worker", "embedded", "demo"}
    required = [line for line in metadata.get_all("Requires-Dist") or () if "extra ==" not in line]
    assert sorted(line.partition(">=")[0] for line in required) == ["orjson", "pydantic"]


def test_the_consumers_part_imports_without_the_rest() -> None:
    """`schemas` asks for nothing but orjson and pydantic."""
    code = (
        "import sys, schemas.records, schemas.inputs, schemas.topics, schemas.errors, "
        "schemas.headers, schemas.partitioner; "
        "assert not {'river', 'faust', 'aiokafka', 'redis', 'typer'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-P", "-c", code], check=True)
