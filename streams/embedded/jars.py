"""The class path of an embedded Kafka: every jar of the lock, present and verified.

Jars are kept where Maven keeps them (`~/.m2/repository`, or `M2_REPO`), so that one download serves
all projects of a machine. They come from the repositories of jgo's configuration file, else from
jgo's default. A download lands in a staging folder and moves into place only when its hash is
right: a download cut short, or two at once, cannot leave a broken jar behind.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from schemas.errors import Incompatible, Unavailable
from streams.embedded.lock import KAFKA_VERSION, REGENERATE, Jar, locked_jars, sha256_of

DOWNLOADS_AT_ONCE = 8
DOWNLOAD_TIMEOUT_S = 60


def class_path(progress: Callable[[str], None]) -> str:
    """The verified jars as Java's `-cp` takes them; missing ones are downloaded first.

    Raises `Incompatible` for a jar whose hash is not the lock's, `Unavailable` for one that cannot
    be downloaded.
    """
    jars, repository = locked_jars(), jar_folder()
    missing = [jar for jar in jars if not (repository / jar.path).is_file()]
    if missing:
        download(missing, repository, progress, of=len(jars))
    verify(set(jars) - set(missing), repository)
    return os.pathsep.join(str(repository / jar.path) for jar in jars)


def jar_folder() -> Path:
    """The machine's Maven repository, as jgo finds it."""
    from jgo.constants import default_maven_repo

    return Path(default_maven_repo())


def verify(jars: Iterable[Jar], repository: Path) -> None:
    """Refuse, naming it, the first jar whose bytes are not the lock's."""
    for jar in jars:
        _verify_one(jar, repository / jar.path)


def download(
    missing: list[Jar], repository: Path, progress: Callable[[str], None], *, of: int
) -> None:
    """Fetch the missing jars, several at once, into the Maven repository."""
    done = of - len(missing)
    progress(f"resolving Kafka {KAFKA_VERSION}: {done}/{of} jars")
    repository.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix=".riverrun-", dir=repository) as staging,
        ThreadPoolExecutor(DOWNLOADS_AT_ONCE) as pool,
    ):
        for _ in pool.map(lambda jar: _fetch(jar, Path(staging), repository), missing):
            done += 1
            progress(f"resolving Kafka {KAFKA_VERSION}: {done}/{of} jars")


def _fetch(jar: Jar, staging: Path, repository: Path) -> None:
    try:
        staged = _download_one(jar, staging)
    except (OSError, RuntimeError) as error:
        raise Unavailable(
            f"The jar {jar} could not be downloaded: {error}. Is this machine on the network? A "
            "mirror goes into ~/.config/jgo.conf ([repositories], name = URL); without a network, "
            f"copy {repository} from a machine where `riverrun up` has run."
        ) from error
    _verify_one(jar, staged)
    target = repository / jar.path
    target.parent.mkdir(parents=True, exist_ok=True)
    staged.replace(target)


def _download_one(jar: Jar, staging: Path) -> Path:
    from jgo.config import GlobalSettings
    from jgo.maven import MavenContext

    context = MavenContext(
        repo_cache=staging,
        remote_repos=GlobalSettings.load().repositories or None,
        timeout=DOWNLOAD_TIMEOUT_S,
    )
    component = context.project(jar.group, jar.artifact).at_version(jar.version)
    return Path(component.artifact().resolve())


def _verify_one(jar: Jar, path: Path) -> None:
    actual = sha256_of(path)
    if actual != jar.sha256:
        raise Incompatible(
            f"The jar {jar} is not the one that was locked: {path} has SHA-256 {actual}, the lock "
            f"says {jar.sha256}. It will not be run. Delete the file and start again; if it "
            f"happens again, your Maven repository serves other bytes. Only after a wanted change "
            f"of version: {REGENERATE}."
        )
