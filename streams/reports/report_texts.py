"""The texts of reports: amounts, days, and the sentences shared by text and page."""

from __future__ import annotations

from datetime import UTC, datetime

from models.replay.learning_curve import Curve
from models.worth.gain import Gain
from models.worth.worth import Worth

UNKNOWN = "not known yet"


def number(value: float | None) -> str:
    """Return a number with three significant digits, or whole with separators.

    >>> number(1234567.8), number(12.345), number(0.01234), number(-0.0), number(None)
    ('1,234,568', '12.3', '0.0123', '0', 'none')
    """
    if value is None:
        return "none"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value + 0.0:.3g}"


def amount(value: float | None, unit: str, *, sign: bool = False) -> str:
    """Return a number with its unit.

    >>> amount(1234.5, "USD"), amount(2.0, "USD", sign=True)
    ('1,234 USD', '+2 USD')
    """
    plus = "+" if sign and value is not None and value > 0 else ""
    return f"{plus}{number(value)} {unit}"


def between(lower: float | None, upper: float | None, unit: str) -> str:
    """Return an interval, or its known end.

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
    """Return a day in UTC.

    >>> day(0.0)
    '1 January 1970'
    """
    if time is None:
        return "none"
    date = datetime.fromtimestamp(time, UTC)
    return f"{date.day} {date:%B %Y}"


def days(count: float) -> str:
    """Return a count of days.

    >>> days(1.0), days(0.4), days(23.2)
    ('1 day', 'less than a day', '23 days')
    """
    if count < 0.5:
        return "less than a day"
    return "1 day" if round(count) == 1 else f"{count:,.0f} days"


def gain_verb(worth: Worth, gain: float) -> str:
    """Return the verb of a gain or a loss."""
    if gain < 0:
        return "lost"
    return "saved" if worth.better == "lower" else "earned"


def span_days(worth: Worth) -> float:
    """Return how many days the closed blocks cover."""
    if worth.since is None or worth.until is None:
        return 0.0
    return (worth.until - worth.since) / 86_400


def subject(worth: Worth) -> str:
    """Return the subject of the report: the use case, or a part of it."""
    part = worth.segment or worth.slice
    return f"{worth.use_case} for {part}" if part else worth.use_case


def headline(worth: Worth) -> str:
    """Return the verdict in one sentence."""
    name, total = subject(worth), amount(abs(worth.net.total), worth.unit)
    after = " after the cost of running" if worth.cost is not None else ""
    span = days(span_days(worth))
    if not worth.labelled:
        return f"Whether {name} is worth it is not known yet: no block is closed so far."
    if worth.unpriced:
        return (
            f"Whether {name} is worth it is not known: {worth.unpriced:,} predictions with the "
            "default label have no KPI."
        )
    if worth.verdict == "worth it":
        return f"{name} is worth it: it {gain_verb(worth, 1)} {total} in {span}{after}."
    if worth.verdict == "not worth it":
        verb = gain_verb(worth, worth.net.total)
        return f"{name} is not worth it: it {verb} {total} in {span}{after}."
    soon = "" if worth.days_needed is None else f", and will be in about {days(worth.days_needed)}"
    return (
        f"Whether {name} is worth it is not known yet{soon}. So far it "
        f"{gain_verb(worth, worth.net.total)} {total} in {span}{after}."
    )


def verdict(gain: Gain) -> str:
    """Return the verdict on a gain, and that it is not promised where it is not."""
    if gain.not_promised is None or gain.verdict == "not known yet":
        return gain.verdict
    return f"{gain.verdict}, not promised"


def confidence(gain: Gain, unit: str, alpha: float) -> str:
    """Return the confidence sequence in words."""
    if gain.total_lower is None and gain.total_upper is None:
        return "There are too few closed blocks for a confidence sequence."
    return (
        f"{100 * (1 - alpha):.0f} % confidence sequence: "
        f"{between(gain.total_lower, gain.total_upper, unit)} (valid however often you look)."
    )


def worst_case(gain: Gain, unit: str) -> str:
    """Return the bounds that predictions without an outcome allow."""
    if not gain.missing:
        return "Every prediction has a label, so missing labels hide nothing."
    count = gain.labelled + gain.missing
    if gain.worst_lower is None or gain.worst_upper is None:
        return f"{gain.missing:,} of {count:,} predictions have no outcome."
    return (
        f"{gain.missing:,} of {count:,} predictions have no outcome. With the "
        "worst and the best outcomes that the declared range allows, the gain would be "
        f"{between(gain.worst_lower * count, gain.worst_upper * count, unit)}."
    )


def outlook(worth: Worth) -> str:
    """Return what another verdict, or any verdict, would require."""
    net, unit, span = worth.net, worth.unit, span_days(worth)
    if not worth.labelled or not span:
        return "A day is closed once its outcomes have arrived or the horizon has passed after it."
    if worth.verdict == "worth it" and net.lower is not None:
        spare = net.lower * net.labelled / span
        return (
            f"By the lower end of the interval, it stays worth it while running costs less than "
            f"{amount(spare, unit)} a day more than now."
        )
    if worth.verdict == "not worth it":
        per = amount(-net.mean, unit)
        return f"To break even, each prediction would have to be {per} better, or running cheaper."
    if worth.days_needed is not None:
        return f"At this difference, a verdict takes about {days(worth.days_needed)} more."
    if net.lower is None and net.upper is None:
        return "Without an interval it cannot be said how long a verdict takes."
    return "The difference is too small for a verdict within ten years."


def price(worth: Worth) -> str:
    """Return the cost of running and its parts."""
    cost, unit = worth.cost, worth.unit
    if cost is None:
        return "No price is declared."
    cpu = sum(cost.cpu_us.values())
    return (
        f"Running cost {amount(cost.total, unit)}: {number(cpu)} µs of CPU an event at "
        f"{amount(cost.per_cpu_hour, unit)} an hour, and {amount(cost.per_day, unit)} a day."
    )


def learning_verdict(curve: Curve) -> str:
    """Return the result of a learning curve in one sentence."""
    step, name = curve.last, curve.use_case
    if step is None or step.per_1000 is None or not curve.labelled:
        return (
            f"The gain of {name} from further outcomes is not known yet: too few blocks are closed."
        )
    per = amount(abs(step.per_1000), curve.unit)
    verb = "saved" if curve.better == "lower" else "earned"
    if step.gain.verdict == "worth it":
        return f"More outcomes still improve {name}: the last ones {verb} {per} for each 1,000."
    if step.gain.verdict == "not worth it":
        return f"More outcomes made {name} worse: the last ones lost {per} for each 1,000."
    verb = verb if step.per_1000 >= 0 else "lost"
    return (
        f"Whether more outcomes improve {name} is not known yet: the last ones {verb} {per} for "
        "each 1,000, which may be chance."
    )
