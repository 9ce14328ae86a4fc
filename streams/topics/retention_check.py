"""Checks at start that there is no gap between the log and the snapshot archive.

State is folded from the journal and the inputs. A record must be in an archived snapshot before
retention deletes it. So: the journal is kept for ever (160 bytes a batch, and without its end
nobody knows the position); inputs are kept for ever, or there is an archive and they outlive
several of its files.
"""

from __future__ import annotations

from collections.abc import Mapping

from models.values.durations import spoken
from schemas.errors import Incompatible
from schemas.topics import INPUTS
from streams.config.settings import Settings
from streams.topics.timestamp_limit import configs_of

OUTLIVED = 4
"""The number of archive intervals for which an input must be kept."""

FOR_EVER = "-1"


async def refuse_gap(names: Mapping[str, str], settings: Settings) -> None:
    """Raise `Incompatible` that names each topic and what to do."""
    kinds = ("journal", *INPUTS)
    configs = await configs_of([names[kind] for kind in kinds], settings)
    interval_s = settings.riverrun_archive_interval_s if settings.riverrun_archive else None
    wrong = [
        gap
        for kind in kinds
        if (gap := fault(kind, names[kind], configs.get(names[kind], {}), interval_s))
    ]
    if wrong:
        raise Incompatible("State could not be rebuilt from the log:\n" + "\n".join(wrong))


def fault(kind: str, topic: str, config: Mapping[str, str], archive_s: float | None) -> str | None:
    """Return what is wrong with one topic's retention, and how to mend it; `archive_s`: the
    interval of the snapshot archive, if there is one.

    >>> fault("journal", "t", {"retention.ms": "-1", "cleanup.policy": "delete"}, None)
    >>> print(fault("events", "t", {"retention.ms": "172800000"}, None))
    t keeps its records for 2 days. Set retention.ms=-1, or RIVERRUN_ARCHIVE for snapshots.
    """
    if "compact" in config.get("cleanup.policy", "delete"):
        return (
            f"{topic} is compacted, which deletes records amid others. Set cleanup.policy=delete."
        )
    kept_ms, size = config.get("retention.ms", FOR_EVER), config.get("retention.bytes", FOR_EVER)
    if kept_ms == size == FOR_EVER:
        return None
    retention = f"{topic} keeps its records for {spoken(int(kept_ms) / 1000)}"
    if kept_ms == FOR_EVER or (size != FOR_EVER and archive_s):
        return f"{topic} keeps {size} bytes, whatever time that is. Set retention.bytes=-1."
    if kind == "journal":
        return f"{retention}. Set retention.ms=-1: it is small, and the position is in it."
    if archive_s is None:
        return f"{retention}. Set retention.ms=-1, or RIVERRUN_ARCHIVE for snapshots."
    if int(kept_ms) < OUTLIVED * archive_s * 1000:
        needed = spoken(OUTLIVED * archive_s)
        return f"{retention}, and the archive needs {needed}. Raise retention.ms."
    return None
