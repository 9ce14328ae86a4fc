"""To whom commands go."""

from __future__ import annotations

from typing import Any, cast

from models.task.command_handler import ModelCommands
from streams.operations.command_sender import MODEL_VERBS


def test_the_commands_about_models_are_those_that_a_learner_obeys() -> None:
    """Where models are shared these go to the learner alone, and every partition passes them by."""
    assert set(ModelCommands(cast("Any", None))._acts) == MODEL_VERBS
