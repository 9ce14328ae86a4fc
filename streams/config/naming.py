"""Names of a use case and its tasks, on the servers and on the command line."""

from __future__ import annotations

import shlex

from schemas.topics import LEARNER
from streams.config.settings import Settings
from streams.config.use_case_loader import LoadedUseCase


def group_of(loaded: LoadedUseCase, settings: Settings) -> str:
    """Return the consumer group: one for a use case and a prefix.

    It is also the prefix of transactional ids.
    """
    return f"riverrun.{settings.riverrun_topic_prefix}{loaded.use_case.name}"


def shown_name(loaded: LoadedUseCase, settings: Settings) -> str:
    """Return the use case and the prefix as arguments of a command line."""
    prefix = settings.riverrun_topic_prefix
    return shlex.join([loaded.argument, *(("--prefix", prefix) if prefix else ())])


def title_of(number: int) -> str:
    """Return the name of a task in messages.

    >>> title_of(3), title_of(LEARNER)
    ('partition 3', 'learner')
    """
    return "learner" if number == LEARNER else f"partition {number}"


def number_of(number: int) -> str:
    """Return the name of a task in a table's column of partitions.

    >>> number_of(3), number_of(LEARNER)
    ('3', 'learner')
    """
    return "learner" if number == LEARNER else str(number)


def position_of(number: int, step: int) -> str:
    """Return a log position as text: PARTITION/STEP, learner/STEP.

    >>> position_of(3, 12), position_of(LEARNER, 12)
    ('3/12', 'learner/12')
    """
    return f"{number_of(number)}/{step}"


def position_in_order(log_position: str) -> tuple[int, int]:
    """Return the number of a task and its step, from the text of `position_of`.

    >>> position_in_order("3/12"), position_in_order("learner/12")
    ((3, 12), (-1, 12))
    """
    number, _, step = log_position.partition("/")
    return (LEARNER if number == "learner" else int(number)), int(step)


def transactional_id(group: str, number: int) -> str:
    """Return the id that fences a task's former owner; `group` as of `group_of`.

    >>> transactional_id("g", 3), transactional_id("g", LEARNER)
    ('g-3', 'g-learner')
    """
    return f"{group}-learner" if number == LEARNER else f"{group}-{number}"
