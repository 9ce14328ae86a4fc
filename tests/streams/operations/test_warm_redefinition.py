"""A redefinition that is refused costs nothing first."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from schemas.errors import Incompatible
from streams.operations import redefine


class Log:
    """A journal that ends under another definition."""

    async def last(self) -> Any:
        """Return its end."""
        return SimpleNamespace(definition="before", seq=9)


class Past:
    """Definitions whose models are shared, and whose log must not be folded."""

    def __init__(self) -> None:
        self.folded = False

    async def read(self) -> None:
        """Read nothing."""

    def fresh(self, definition: str) -> Any:
        """Return a task."""
        return SimpleNamespace()

    def loaded(self, definition: str) -> Any:
        """Note that a state is asked for."""
        self.folded = True
        raise AssertionError("folded")


async def test_shared_models_are_refused_to_be_warmed_before_anything_is_folded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else an operator waits for the whole log to be told that it cannot be."""
    past: Any = Past()
    monkeypatch.setattr(redefine, "read_versions", lambda *_: None)
    monkeypatch.setattr("streams.replay.definition_change.is_shared", lambda _: True)
    monkeypatch.setattr("streams.topics.topic_admin.names_of", lambda *_: {})
    loaded: Any = SimpleNamespace(use_case=None, definition="after")
    eras: Any = SimpleNamespace(past=lambda *_: past)
    wish: Any = SimpleNamespace(how="warm")
    act = redefine.Redefinition(loaded, None, wish, lambda *_: None)  # type: ignore[arg-type]
    log: Any = Log()
    with pytest.raises(Incompatible, match="cannot be warmed"):
        await act._carried(eras, log, 0)
    assert not past.folded
