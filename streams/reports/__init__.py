"""Reports for readers who do not code: one self-contained HTML file each.

Nothing is loaded from elsewhere: style and drawings are in the file. It follows the reader's light
or dark setting, fits a phone, and prints.
"""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2

from schemas.errors import ConfigError
from streams.reports import report_texts


def rendered(template: str, **values: Any) -> str:
    """Return a page from a template of this folder, `<name>.html.j2`."""
    page = _environment().get_template(f"{template}.html.j2")
    return page.render(made=datetime.now(UTC), **values)


def write(page: str, file: Path) -> None:
    """Write a page; raise `ConfigError` if the file cannot be written."""
    try:
        file.write_text(page, "utf-8")
    except OSError as error:
        raise ConfigError(
            f"{file} cannot be written: {error.strerror}.", hint="Name a file in a folder of yours."
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
        "amount": report_texts.amount,
        "day": report_texts.day,
        "number": report_texts.number,
    }
    return environment
