"""Personal data shown on request: only with a reason, and only once the reason is recorded.

The record is on `lifecycle`; `riverrun history` shows who asked, when, why and for what. It is
written before anything is shown; if it cannot be written, nothing is.
"""

from __future__ import annotations

import asyncio
import getpass
from dataclasses import dataclass

from models.spec.personal_data import NOTHING, Masking, masking_of
from models.spec.use_case import UseCase
from schemas.errors import ConfigError, Unavailable
from streams.config.settings import Settings
from streams.config.use_case_loader import load
from streams.operations.operator_actions import PERSONAL_DATA, record_action
from streams.topics.topic_admin import names_of

REVEALED = "revealed"
"""The `to_state` of such a record."""


def masking_for(use_case: UseCase, settings: Settings, *, why: str | None, subject: str) -> Masking:
    """Return what to mask: all personal data, or nothing if there is a reason, which is recorded.

    `subject` says in a few words what is shown. Not within a running event loop: see `reveal`.
    """
    masking = masking_of(use_case)
    if why is None or not masking:
        return masking
    asyncio.run(reveal(use_case, settings, why=why, subject=subject))
    return NOTHING


async def reveal(
    use_case: UseCase, settings: Settings, *, why: str, subject: str, who: str | None = None
) -> None:
    """Record that personal data is shown; raise `ConfigError` without a reason."""
    if not why.strip():
        raise ConfigError("--reveal needs a reason.", hint='Such as --reveal "complaint 4711".')
    try:
        await record_action(
            use_case,
            settings,
            subject=PERSONAL_DATA,
            from_state="masked",
            to_state=REVEALED,
            who=who or getpass.getuser(),
            why=why,
            evidence={"what": subject, "fields": masking_of(use_case).fields},
        )
    except Unavailable as error:
        raise Unavailable(f"{error} Therefore nothing is shown.") from error


@dataclass(frozen=True, slots=True)
class Owned:
    """A topic, the use case that it is of, and which of its kinds it is."""

    use_case: UseCase
    topic: str
    kind: str


def owner_of(topic: str, settings: Settings, usecase: str | None = None) -> Owned:
    """Return the use case that a topic belongs to.

    The topic's name tells it, or `usecase` (a name or file).

    `topic` is without the prefix. Raises `ConfigError` if neither does: which fields of a topic are
    personal is known from the use case alone.
    """
    name = topic.rpartition(".")[0]
    try:
        use_case = load(usecase or name or topic).use_case
    except ConfigError:
        if usecase is not None:
            raise
        raise ConfigError(
            f"Cannot tell which use case {topic} is of, and so which fields are personal.",
            hint="Give --usecase NAME, or the path of its file.",
        ) from None
    full = settings.riverrun_topic_prefix + topic
    names = names_of(use_case, settings)
    kind = next((kind for kind, name in names.items() if name == full), None)
    if kind is None:
        raise ConfigError(
            f"{full} is not a topic of {use_case.name}.", hint="`riverrun topics` lists them."
        )
    return Owned(use_case, full, kind)
