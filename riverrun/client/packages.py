"""Packages that only the readers need."""

from __future__ import annotations

import importlib
from typing import Any

from schemas.errors import Unavailable


def needed(package: str, to: str) -> Any:
    """Import a package that the core does not need, or raise `Unavailable` with what to install."""
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        raise Unavailable(
            f"{to} needs the package {package}: pip install 'riverrun[consumer]'"
        ) from error
