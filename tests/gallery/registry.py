"""All streams and all claims: a new module of either is entered here."""

from __future__ import annotations

from typing import Any

from tests.gallery import (
    answers,
    breaker_claims,
    changing,
    delays,
    dependent,
    drift_claims,
    drift_shapes,
    independent,
    interval_claims,
    outage_claims,
    residuals,
    sizes,
    verdict_claims,
    worth_claims,
)
from tests.gallery.claim import Claim
from tests.gallery.stream import Stream

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
