"""Public holidays of a country, from a file beside the use case.

The days that a prediction was made with are part of the proof, and the package that knows them
corrects itself from time to time. So its days are written to a file once, and the file is what is
read: a lookup file, which is part of the definition. Workers need no package.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path

from schemas.errors import ConfigError

FIRST, LAST = 2000, 2050
"""Years that a file is written for."""


def holiday_dates(
    country: str, *, file: str | Path, subdivision: str | None = None
) -> frozenset[date]:
    """Return the public holidays of a country (ISO 3166: "DE") or a part of it ("BE").

    They are read from `file`, one ISO date a line, such as
    `Path(__file__).with_name("holidays-DE-BE.txt")`. Where there is no such file it is written, for
    the years 2000 to 2050, by the package `holidays` (`pip install 'riverrun[holidays]'`). Raises
    `ConfigError` where neither is possible.
    """
    path = Path(file)
    if not path.exists():
        path.write_text("\n".join(map(str, _known(country, subdivision, path))) + "\n", "utf-8")
    try:
        return frozenset(map(date.fromisoformat, path.read_text("utf-8").split()))
    except ValueError as error:
        raise ConfigError(
            f"{path.name} is no list of days: {error}.",
            hint="Write one day a line, as 2024-12-25, or delete the file: it is created again.",
        ) from error


def _known(country: str, subdivision: str | None, path: Path) -> list[date]:
    try:
        from holidays import country_holidays
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"There is no {path.name}, and the package `holidays`, which would write it, is not "
            "installed.",
            hint="pip install 'riverrun[holidays]', or write the days yourself, one a line.",
        ) from error
    try:
        return sorted(country_holidays(country, subdivision, years=range(FIRST, LAST + 1)))
    except NotImplementedError as error:
        raise ConfigError(
            f"The package `holidays` does not know {country!r}"
            + (f" with {subdivision!r}." if subdivision else "."),
            hint=f"Its own words: {error}",
        ) from error
