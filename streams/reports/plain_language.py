"""How a report speaks: amounts, days, and the sentences that text and page have in common."""

from __future__ import annotations

from datetime import UTC, datetime

from models.gain import Gain
from models.learning_curve import Curve
from models.worth import Worth

UNKNOWN = "not known yet"


def number(value: float | None) -> str:
    """A number as people read it: three figures, or whole with separators.

    >>> number(1234567.8), number(12.345), number(0.01234), number(-0.0), number(None)
    ('1,234,568', '12.3', '0.0123', '0', 'none')
    """
    if value is None:
        return "none"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value + 0.0:.3g}"


def amount(value: float | None, unit: str, *, sign: bool = False) -> str:
    """A number with its unit.

    >>> amount(1234.5, "USD"), amount(2.0, "USD", sign=True)
    ('1,234 USD', '+2 USD')
    """
    plus = "+" if sign and value is not None and value > 0 else ""
    return f"{plus}{number(value)} {unit}"


def between(lower: float | None, upper: float | None, unit: str) -> str:
    """An interval, or what is known of it.

    >>> between(1.0, 2.0, "USD"), between(None, 2.0, "USD"), between(None, None, "USD")
    ('1 to 2 USD', 'at most 2 USD', 'not known yet')
    """
    if lower is None and upper is None:
        return UNKNOWN
    if lower is None:
        return f"at most {number(upper)} {unit}"
    if upper is None:
        return f"at least {number(lower)} {unit}"
    return f"{number(lower)} to {number(upper)} {unit}"


def day(time: float | None) -> str:
    """A day in UTC.

    >>> day(0.0)
    '1 January 1970'
    """
    if time is None:
        return "none"
    found = datetime.fromtimestamp(time, UTC)
    return f"{found.day} {found:%B %Y}"


def days(count: float) -> str:
    """A count of days.

    >>> days(1.0), days(0.4), days(23.2)
    ('1 day', 'less than a day', '23 days')
    """
    if count < 0.5:
        return "less than a day"
    return "1 day" if round(count) == 1 else f"{count:,.0f} days"


def did(found: Worth, gain: float) -> str:
    """What a gain or a loss is called."""
    if gain < 0:
        return "lost"
    return "saved" if found.better == "lower" else "earned"


def span_days(found: Worth) -> float:
    """How many days the settled blocks reach over."""
    if found.since is None or found.until is None:
        return 0.0
    return (found.until - found.since) / 86_400


def named(found: Worth) -> str:
    """What the report is about: the use case, or a part of it."""
    part = found.segment or found.slice
    return f"{found.use_case} for {part}" if part else found.use_case


def headline(found: Worth) -> str:
    """The answer in one sentence."""
    name, total = named(found), amount(abs(found.net.total), found.unit)
    after = " after what it cost to run" if found.cost is not None else ""
    span = days(span_days(found))
    if not found.labelled:
        return f"Whether {name} is worth it is not known yet: nothing has settled so far."
    if found.verdict == "worth it":
        return f"{name} is worth it: it {did(found, 1)} {total} in {span}{after}."
    if found.verdict == "not worth it":
        return f"{name} is not worth it: it {did(found, found.net.total)} {total} in {span}{after}."
    soon = "" if found.days_needed is None else f", and will be in about {days(found.days_needed)}"
    return (
        f"Whether {name} is worth it is not known yet{soon}. So far it "
        f"{did(found, found.net.total)} {total} in {span}{after}."
    )


def certainty(gain: Gain, unit: str, alpha: float) -> str:
    """What the interval says, in words."""
    if gain.total_lower is None and gain.total_upper is None:
        return "There are too few settled days to say how much of that is luck."
    return (
        f"With luck left aside it is {between(gain.total_lower, gain.total_upper, unit)}: such a "
        f"range holds the truth on every day that you look, in {1 - alpha:.0%} of use cases."
    )


def worst_case(gain: Gain, unit: str) -> str:
    """What predictions without an outcome could hide."""
    if not gain.missing:
        return "Every prediction has its outcome, so nothing is hidden in missing ones."
    count = gain.labelled + gain.missing
    if gain.worst_lower is None or gain.worst_upper is None:
        return f"{gain.missing:,} of {count:,} predictions have no outcome to judge them by."
    return (
        f"{gain.missing:,} of {count:,} predictions have no outcome to judge them by. If all of "
        "these had gone as badly, or as well, as the declared range allows, it would be "
        f"{between(gain.worst_lower * count, gain.worst_upper * count, unit)}."
    )


def outlook(found: Worth) -> str:
    """What it would take for another answer, or for an answer at all."""
    net, unit, span = found.net, found.unit, span_days(found)
    if not found.labelled or not span:
        return "Outcomes have to come, and a horizon has to pass after each day, before it settles."
    if found.verdict == "worth it" and net.lower is not None:
        spare = net.lower * net.labelled / span
        return (
            f"It stays worth it as long as running it costs less than {amount(spare, unit)} a day "
            "more than it does today, by the lower end of the interval."
        )
    if found.verdict == "not worth it":
        per = amount(-net.mean, unit)
        return f"Each answer would have to be {per} better to break even, or running it cheaper."
    if found.days_needed is not None:
        return f"If all goes on as it does, it is known in about {days(found.days_needed)}."
    if net.lower is None and net.upper is None and len(found.notes) > 1:
        return found.notes[1]
    return "The difference is too small to tell from luck within ten years, as it looks today."


def price(found: Worth) -> str:
    """What it cost, and of what that is made up."""
    cost, unit = found.cost, found.unit
    if cost is None:
        return "No price is declared."
    cpu = sum(cost.cpu_us.values())
    return (
        f"It cost {amount(cost.total, unit)} to run: {number(cpu)} µs of CPU an event at "
        f"{amount(cost.per_cpu_hour, unit)} an hour, and {amount(cost.per_day, unit)} a day."
    )


def lesson(found: Curve) -> str:
    """What a learning curve says, in one sentence."""
    step, name = found.last, found.use_case
    if step is None or step.per_1000 is None or not found.labelled:
        return f"What further outcomes bring to {name} is not known yet: too little has settled."
    per = amount(abs(step.per_1000), found.unit)
    verb = "saved" if found.better == "lower" else "earned"
    if step.gain.verdict == "worth it":
        return f"More outcomes still help {name}: the last ones {verb} {per} for each 1,000."
    if step.gain.verdict == "not worth it":
        return f"More outcomes made {name} worse: the last ones lost {per} for each 1,000."
    word = f"{verb}" if step.per_1000 >= 0 else "lost"
    return (
        f"Whether more outcomes help {name} is not known yet: the last ones {word} {per} for each "
        "1,000, which may be luck."
    )
