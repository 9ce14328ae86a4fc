"""Reports that a person who does not code can read and hand on: one self-contained HTML file each.

Nothing is loaded from anywhere: style and drawings are in the file. It follows the reader's light
or dark setting, fits a phone, and prints.
"""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2

from schemas.errors import Misdeclared
from streams.reports import wording


def rendered(template: str, **values: Any) -> str:
    """A page from a template of this room, `<name>.html.j2`."""
    page = _environment().get_template(f"{template}.html.j2")
    return page.render(made=datetime.now(UTC), **values)


def write(page: str, file: Path) -> None:
    """Write a page; `Misdeclared` says where it cannot be."""
    try:
        file.write_text(page, "utf-8")
    except OSError as error:
        raise Misdeclared(
            f"{file} cannot be written: {error.strerror}.", mend="Name a file in a folder of yours."
        ) from error


def _environment() -> jinja2.Environment:
    templates = files(__package__)
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: templates.joinpath(name).read_text("utf-8")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "amount": wording.amount,
        "day": wording.day,
        "number": wording.number,
    }
    return environment
