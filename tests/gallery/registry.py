"""All streams and all claims: a new module of either is entered here."""

from __future__ import annotations

from typing import Any

from tests.gallery.claims import (
    breaker_claims,
    drift_claims,
    interval_claims,
    outage_claims,
    verdict_claims,
    worth_claims,
)
from tests.gallery.claims.claim import Claim
from tests.gallery.streams import (
    answers,
    changing,
    delays,
    dependent,
    drift_shapes,
    independent,
    residuals,
    sizes,
)
from tests.gallery.streams.stream import Stream

STREAMS: list[Stream[Any]] = [
    *independent.STREAMS,
    *dependent.STREAMS,
    *sizes.STREAMS,
    *changing.STREAMS,
    *residuals.STREAMS,
    *answers.STREAMS,
    *drift_shapes.STREAMS,
    *delays.STREAMS,
]

CLAIMS: list[Claim] = [
    *verdict_claims.CLAIMS,
    *worth_claims.CLAIMS,
    *interval_claims.CLAIMS,
    *breaker_claims.CLAIMS,
    *drift_claims.CLAIMS,
    *outage_claims.CLAIMS,
]
