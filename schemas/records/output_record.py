"""The common base of all records that riverrun writes."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

Scalar = bool | int | float | str
"""A feature's value, or a label: JSON's own scalars."""


class OutputRecord(BaseModel):
    """A record that riverrun writes: an unknown field is a defect."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
