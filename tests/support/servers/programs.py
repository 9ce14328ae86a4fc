"""Programs that some tests need and that not every machine has."""

from __future__ import annotations

import re
import shutil

import pytest

CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "chrome")
MISSING = re.compile(r"is missing: apt-get install (\S+)")


def path_of(*names: str, package: str) -> str:
    """Return the path of the first of these programs; skip the test if there is none."""
    for name in names:
        if path := shutil.which(name):
            return path
    pytest.skip(f"{names[0]} is missing: apt-get install {package}")


def summary(reasons: list[str]) -> list[str]:
    """Return the lines that tell of skipped tests: one for all that lack a program."""
    packages = [match[1] for reason in reasons if (match := MISSING.search(reason))]
    others = [reason for reason in reasons if not MISSING.search(reason)]
    if not packages:
        return others
    install = " ".join(sorted(set(packages)))
    count = f"{len(packages)} test{'s' * (len(packages) > 1)}"
    return [*others, f"{count} skipped for want of a program: apt-get install {install}"]
