"""Claims about label outages: quiet hours are none, and a stop is reported soon."""

from __future__ import annotations

from typing import Any

from models.stats.kaplan_meier import DelayCurve
from models.stats.label_outage import Arrivals, Stopped
from tests.gallery.claims.claim import Claim, Result, Size
from tests.gallery.streams.delays import DAY_S, STOPS_AT, Delays
from tests.gallery.streams.stream import Stream

KNOWN_AFTER = 7.0
"""Days: in the first week nothing is known of the hours of the week."""


def alarms_of(delays: Delays, run: int, age_max_days: float) -> list[tuple[float, bool]]:
    """Return (day, whether it is a stop) of each alarm and each end of one."""
    arrivals, alarms = Arrivals(DelayCurve(age_max_days * DAY_S)), []
    events = delays.events[run].tolist()
    last = events[-1]
    rows = [(time, True, time) for time in events]
    pairs = zip(delays.arrivals[run].tolist(), events, strict=True)
    rows += [(came, False, time) for came, time in pairs if came < last]
    for now, is_event, time in sorted(rows):
        alarm = arrivals.advance(now)
        if alarm is not None:
            alarms.append((now / DAY_S, isinstance(alarm, Stopped)))
        if is_event:
            arrivals.issued(time)
        else:
            arrivals.labelled(time)
    return alarms


def runs_of(stream: Stream[Any], size: Size) -> list[list[tuple[float, bool]]]:
    """Return the alarms of 1 run of 70 days in the short part, of 3 runs of 200 in full."""
    runs, length = (3, 200) if size.full else (1, STOPS_AT + 10)
    delays = stream.sample(size.seed, runs, length)
    return [alarms_of(delays, run, stream.truth["age_max_days"]) for run in range(runs)]


def quiet(stream: Stream[Any], size: Size) -> Result:
    """Measure alarms after the first week; a growth of the delay is one, for a week at most."""
    grows = stream.truth.get("grow_at")
    if grows is None and not size.full and stream.truth["age_max_days"] < 4:
        return Result("pass", "in full only")
    runs = runs_of(stream, size)
    if grows is None:
        days = [day for alarms in runs for day, stop in alarms if stop and day > KNOWN_AFTER]
        return Result("fail" if days else "pass", f"{len(days)} alarms")
    good = all([stop for _, stop in alarms] == [True, False] for alarms in runs)
    lasted = max(alarms[-1][0] - alarms[0][0] for alarms in runs)
    return Result("pass" if good and lasted < 7.0 else "fail", f"1 alarm of {lasted:.1f} days")


def stopped(stream: Stream[Any], size: Size) -> Result:
    """Measure the hours until a stop is reported."""
    if not size.full and not stream.name.startswith("0%"):
        return Result("pass", "in full only")
    hours = []
    for alarms in runs_of(stream, size):
        days = [day for day, stop in alarms if stop and day > KNOWN_AFTER]
        if not days or days[0] < STOPS_AT:
            return Result("fail", f"alarms on days {days}")
        hours.append(24.0 * (days[0] - STOPS_AT))
    worst, most = max(hours), stream.truth["hours_most"]
    return Result("pass" if worst <= most else "fail", f"{worst:.1f} hours at most")


CLAIMS = [
    Claim(
        "no outage where labels are quiet",
        "After the first week no hour, day or week-end that usually brings few labels is reported; "
        "delays that grow for good are reported once, and the alarm ends within a week.",
        Delays,
        quiet,
        about=lambda stream: "stops_at" not in stream.truth,
    ),
    Claim(
        "an outage is reported",
        "Where at most 30 % of labels still come: within 12 hours, within 30 where labels take "
        "five times as long over week-ends.",
        Delays,
        stopped,
        about=lambda stream: "stops_at" in stream.truth,
    ),
]
