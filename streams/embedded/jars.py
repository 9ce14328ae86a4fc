"""The class path of an embedded Kafka: every jar of the lock, present and verified.

Jars are kept where Maven keeps them (`~/.m2/repository`, or `M2_REPO`), so that one download serves
all projects of a machine. They come from the repositories of jgo's configuration file, else from
jgo's default. A download lands in a staging folder and moves into place only when its hash is
right: a download cut short, or two at once, cannot leave a broken jar behind.
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from time import monotonic

from requests import Session

from schemas.errors import Incompatible, Unavailable
from streams.embedded.downloads import MIRROR, fetch, session, without_credentials
from streams.embedded.jar_lock import KAFKA_VERSION, REGENERATE, Jar, locked_jars, sha256_of

DOWNLOADS_AT_ONCE = 8
REPORT_S = 10.0
"""Seconds between two reports of a download's progress."""


def class_path(progress: Callable[[str], None]) -> str:
    """Return the verified jars as Java's `-cp` takes them; download missing ones first.

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
    """Return the machine's Maven repository, as jgo locates it."""
    from jgo.constants import default_maven_repo

    return Path(default_maven_repo())


def verify(jars: Iterable[Jar], repository: Path) -> None:
    """Refuse, naming it, the first jar whose bytes are not the lock's."""
    for jar in jars:
        _verify_one(jar, repository / jar.path)


def download(
    missing: list[Jar], repository: Path, progress: Callable[[str], None], *, of: int
) -> None:
    """Fetch the missing jars, several at once, into the Maven repository.

    The first that fails ends it: those that wait are not tried, those that have come stay.
    """
    progress(f"downloading Kafka {KAFKA_VERSION}: {len(missing)} of {of} jars")
    reported_at = monotonic()
    try:
        repository.mkdir(parents=True, exist_ok=True)
        with (
            session() as over,
            tempfile.TemporaryDirectory(prefix=".riverrun-", dir=repository) as staging,
            ThreadPoolExecutor(DOWNLOADS_AT_ONCE) as pool,
        ):
            fetching = [
                pool.submit(_fetch, jar, Path(staging), repository, over) for jar in missing
            ]
            try:
                for done, future in enumerate(as_completed(fetching), 1):
                    future.result()
                    if monotonic() - reported_at > REPORT_S:
                        reported_at = monotonic()
                        progress(f"{done} of {len(missing)} jars have come")
            finally:
                pool.shutdown(wait=False, cancel_futures=True)
    except OSError as error:
        raise Unavailable(_unwritten(repository, error)) from error


def _fetch(jar: Jar, staging: Path, repository: Path, over: Session) -> None:
    staged = staging / jar.name
    urls = {
        name: f"{url.rstrip('/')}/{jar.path.as_posix()}" for name, url in repositories().items()
    }
    url = fetch(over, f"The jar {jar}", urls, staged)
    actual = sha256_of(staged)
    if actual != jar.sha256:
        raise Incompatible(
            f"The jar {jar} is not the one that was locked: {without_credentials(url)} serves "
            f"{staged.stat().st_size} bytes with SHA-256 {actual}, the lock says {jar.sha256}. It "
            "was thrown away. A proxy that answers with a page of its own, or a mirror that is "
            "broken: open the address in a browser. Repositories are set in "
            f"{MIRROR}. Only after a wanted change of version: {REGENERATE}."
        )
    target = repository / jar.path
    target.parent.mkdir(parents=True, exist_ok=True)
    staged.replace(target)


def repositories() -> dict[str, str]:
    """Return URLs by name, in the order in which they are tried."""
    from jgo.config import GlobalSettings
    from jgo.constants import MAVEN_CENTRAL_URL

    return GlobalSettings.load().repositories or {"central": MAVEN_CENTRAL_URL}


def _unwritten(repository: Path, error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        remedy = "There is no room left: Kafka's jars take 45 MB. Make room"
    else:
        remedy = "It must be a folder that you can write to. Change that"
    return (
        f"{repository} could not be written: {error}. {remedy}, or set M2_REPO to another folder."
    )


def _verify_one(jar: Jar, path: Path) -> None:
    actual = sha256_of(path)
    if actual != jar.sha256:
        raise Incompatible(
            f"The jar {jar} is not the one that was locked: {path} has SHA-256 {actual}, the lock "
            f"says {jar.sha256}. It will not be run. Delete the file and start again, and it is "
            f"downloaded again. Only after a wanted change of version: {REGENERATE}."
        )
