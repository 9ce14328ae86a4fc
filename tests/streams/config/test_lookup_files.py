"""Files that a use case reads while its file is run are part of its definition."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from streams.config.use_case_loader import LoadedUseCase, load
from streams.offline.model_export import Export
from streams.replay.definition_change import changes
from streams.replay.definition_history import DefinitionHistory, Unprovable
from streams.replay.definition_topic import record_of
from tests.support.commands import Command
from tests.support.loop import SOURCE

READS = {
    "beside": "from pathlib import Path\n"
    "TARIFF = Path(__file__).with_name('tariff.csv').read_text()\n",
    "relative": "with open('tariff.csv') as file:\n    TARIFF = file.read()\n",
    "absolute": "from pathlib import Path\nTARIFF = Path('tariff.csv').absolute().read_bytes()\n",
    "function": "def tariff():\n    with open('tariff.csv') as file:\n"
    "        return file.read()\n\n"
    "TARIFF = tariff()\n",
    "numpy": "import numpy\nTARIFF = numpy.genfromtxt('tariff.csv', delimiter=',')\n",
    "os": "import os\nTARIFF = os.read(os.open('tariff.csv', os.O_RDONLY), 100)\n",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a tariff."""
    (tmp_path / "tariff.csv").write_text("1,2\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(folder: Path, reads: str) -> LoadedUseCase:
    """The parcels, with what they read at the top of their file."""
    path = folder / "parcels.py"
    path.write_text(f"{reads}\n{SOURCE}")
    return load(str(path))


def past(*loaded: LoadedUseCase) -> DefinitionHistory:
    """What the definitions topic would hold."""
    return DefinitionHistory({each.definition: record_of(each) for each in loaded})


@pytest.mark.parametrize("how", READS)
def test_another_content_is_another_definition(folder: Path, how: str) -> None:
    """However the file is opened; the same content again is the same definition."""
    before = written(folder, READS[how])
    assert [file.name for file in before.files] == ["tariff.csv"]
    (folder / "tariff.csv").write_text("1,3\n")
    after = written(folder, READS[how])
    (folder / "tariff.csv").write_text("1,2\n")
    assert after.definition != before.definition
    assert written(folder, READS[how]).definition == before.definition


@pytest.mark.parametrize("how", READS)
def test_an_older_definition_reads_its_own_content(folder: Path, how: str) -> None:
    """The content of then comes from the topic, not from the file at hand."""
    before = written(folder, READS[how])
    definitions = past(before)
    (folder / "tariff.csv").unlink()
    again = definitions.loaded(before.definition)
    assert again.files[0].sha256 == before.files[0].sha256
    assert again.definition == before.definition
    assert Path.cwd() == folder


def test_the_same_files_elsewhere_are_the_same_definition(tmp_path: Path) -> None:
    """What it read is told by its name from the use case's folder, not by where that is."""
    definitions = set()
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "tariff.csv").write_text("1,2\n")
        definitions.add(written(tmp_path / name, READS["beside"]).definition)
    assert len(definitions) == 1


def test_what_no_prediction_depends_on_is_no_part(folder: Path) -> None:
    """Files that are written, Python's own and its packages', and those of an imported module."""
    (folder / "reader.py").write_text(READS["relative"])
    loaded = written(
        folder,
        "import sys\nsys.path.insert(0, '')\nimport reader, pytest, zoneinfo\n"
        "zoneinfo.ZoneInfo('Europe/Rome')\nopen(pytest.__file__).close()\n"
        "open('log.txt', 'w').close()\nopen(0, closefd=False).close()\n",
    )
    assert loaded.files == ()


def test_a_content_that_is_gone_is_named(folder: Path) -> None:
    """A content too large for the topic is looked for where it was; else nothing can be proved."""
    (folder / "tariff.csv").write_bytes(os.urandom(500_000))
    before = written(folder, "with open('tariff.csv', 'rb') as file:\n    file.read()\n")
    definitions = past(before)
    assert definitions.records[before.definition].files[0].content is None
    assert definitions.loaded(before.definition).definition == before.definition
    (folder / "tariff.csv").write_text("1,3\n")
    with pytest.raises(Unprovable, match=r"read tariff\.csv, and its content of then .* is gone"):
        past(before).loaded(before.definition)


def test_a_file_outside_every_folder_is_counted_and_never_published(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """It has to be as it was, where it was."""
    outside = tmp_path_factory.mktemp("outside") / "tariff.csv"
    outside.write_text("1,2\n")
    before = written(folder, f"with open({str(outside)!r}) as file:\n    file.read()\n")
    definitions = past(before)
    (file,) = definitions.records[before.definition].files
    assert (file.name, file.content) == (str(outside), None)
    assert definitions.loaded(before.definition).definition == before.definition
    outside.write_text("1,3\n")
    with pytest.raises(Unprovable, match="is gone"):
        past(before).loaded(before.definition)
    with pytest.raises(Exception, match="an export cannot hold"):
        Export(before, None, 1).finish(folder / "out", "card")


def test_the_refusal_names_the_file(folder: Path) -> None:
    """The source is the same; what it reads is not."""
    before = written(folder, READS["relative"])
    definitions = past(before)
    (folder / "tariff.csv").write_text("1,3\n")
    told = changes(written(folder, READS["relative"]), before.definition, definitions)
    assert "tariff.csv, which it reads, is another: SHA-256" in told
    assert "parcels.py itself is the same." in told


def test_check_lists_them(folder: Path, riverrun: Command) -> None:
    """With the beginning of their hash."""
    sha256 = written(folder, READS["relative"]).files[0].sha256
    told = riverrun("check", "parcels.py")
    assert f"part of the definition: tariff.csv (SHA-256 {sha256[:12]})" in told.out


@pytest.mark.slow
@pytest.mark.parametrize("how", ["beside", "relative"])
def test_an_export_holds_them(folder: Path, how: str) -> None:
    """So that it is loaded by itself, as `finish` tries."""
    export = Export(written(folder, READS[how]), None, 1)
    export.finish(folder / "out", "card")
    assert (folder / "out/lib/usecases/tariff.csv").read_text() == "1,2\n"
