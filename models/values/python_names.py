"""Names of fields in a use case that is drafted from data: whatever data call theirs.

A name is usable if Python reads it as it is written (PEP 3131: identifiers are compared in the
form NFKC, so `ﬁ` is `fi`) and it hides nothing that an event has.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Container
from unicodedata import normalize

from schemas.events import Event, Outcome

TYPES = frozenset({"bool", "datetime", "float", "int", "str"})
"""Types that a draft names: a field of such a name and a default hides them from those after it."""
TAKEN = frozenset({"event_id", "event_time", "outcome_time", *dir(Event), *dir(Outcome), *TYPES})


def is_field_name(text: str) -> bool:
    """Return whether a field can have that name.

    >>> [is_field_name(each) for each in ("price", "class", "ﬁ", "a b", "copy", "_x")]
    [True, False, False, False, False, False]
    """
    if text != normalize("NFKC", text) or text.startswith(("_", "model_")):
        return False
    return text.isidentifier() and not keyword.iskeyword(text) and text not in TAKEN


def field_name(text: str, taken: Container[str]) -> str:
    r"""Return a usable name that is like the text and is not taken.

    >>> [field_name(each, ()) for each in ("Temp °C", "class", "5'", '"]+f()', "²")]
    ['temp__c', 'its_class', 'its_5', 'f', 'its_2']
    """
    name = re.sub(r"\W", "_", normalize("NFKC", text.lower())).strip("_") or "field"
    if not is_field_name(name):
        name = f"its_{name}"
    if not is_field_name(name):  # of letters that no name may have
        name = "its_" + re.sub(r"[^a-z0-9]", "_", name)
    number, first = 2, name
    while name in taken:
        name, number = f"{first}_{number}", number + 1
    return name
