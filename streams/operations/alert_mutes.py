"""A maintenance window: for some time alerts are not sent to the webhook.

Alerts open and close on their topic and on the page as usual. The window is a record on `lifecycle`
with who, why and until when, which monitors read and `riverrun history` shows.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from models.spec.use_case import UseCase
from schemas.errors import ConfigError
from streams.config.settings import Settings
from streams.operations.operator_actions import ALERTS, record_action

MUTED, UNMUTED = "muted", "unmuted"
"""The `to_state` of such records."""

MOST = timedelta(days=7)
UNITS_S = {"min": 60, "h": 3_600, "d": 86_400}


def length_of(text: str) -> timedelta:
    """Return a length of time of at most `MOST`; raises `ConfigError`.

    >>> length_of("90min"), length_of("2h")
    (datetime.timedelta(seconds=5400), datetime.timedelta(seconds=7200))
    """
    match = re.fullmatch(r"(\d{1,4})\s*(min|h|d)", text.strip())
    length = timedelta(seconds=int(match[1]) * UNITS_S[match[2]]) if match else timedelta()
    if not timedelta() < length <= MOST:
        raise ConfigError(
            f"{text!r} is not a length of time up to {MOST.days} days.",
            hint="Write 90min, 2h or 1d.",
        )
    return length


async def mute(
    use_case: UseCase,
    settings: Settings,
    *,
    length: timedelta,
    rules: Sequence[str],
    who: str,
    why: str,
) -> datetime:
    """Mute the alerts of these rules (none: of all) from now on; return until when."""
    until = datetime.now(UTC) + length
    evidence: dict[str, Any] = {"until": until.isoformat(timespec="seconds"), "rules": list(rules)}
    await record_action(
        use_case, settings, subject=ALERTS, to_state=MUTED, who=who, why=why, evidence=evidence
    )
    return until


async def unmute(use_case: UseCase, settings: Settings, *, who: str, why: str) -> None:
    """End the mute now."""
    await record_action(
        use_case, settings, subject=ALERTS, to_state=UNMUTED, who=who, why=why, evidence=None
    )
