"""What authors of use cases import. Consumers import `riverrun.client`, tests `riverrun.testing`.

Nothing else of riverrun's is public: other modules may move at any time.
"""

from importlib.metadata import version as _version

from models.features.reference_tables import Table
from models.features.window_declarations import over_events, over_outcomes
from models.formats.avro import Avro
from models.formats.converters import (
    epoch_days,
    epoch_ms,
    epoch_ns,
    epoch_s,
    epoch_us,
    local_time,
    number,
    unscaled,
)
from models.formats.envelopes import CloudEvents, Connect, Debezium
from models.formats.json_format import Json
from models.formats.json_schema import JsonSchema
from models.formats.protobuf import Protobuf
from models.spec.label_fold import FoldedOutcome, LabelFold
from models.spec.source import Source
from models.spec.use_case import Contest, Freshness, Kpi, Price, Promotion, Segments, UseCase
from models.values.durations import days, hours, minutes, seconds
from models.values.local_time import is_holiday, local_hour, weekday
from riverrun.holiday_files import holiday_dates
from riverrun.table_files import rows_of
from schemas.errors import ConfigError, RiverrunError
from schemas.events import Column, Event, Outcome
from schemas.personal_data import Personal

__version__ = _version("riverrun")

__all__ = [
    "Avro",
    "CloudEvents",
    "Column",
    "ConfigError",
    "Connect",
    "Contest",
    "Debezium",
    "Event",
    "FoldedOutcome",
    "Freshness",
    "Json",
    "JsonSchema",
    "Kpi",
    "LabelFold",
    "Outcome",
    "Personal",
    "Price",
    "Promotion",
    "Protobuf",
    "RiverrunError",
    "Segments",
    "Source",
    "Table",
    "UseCase",
    "__version__",
    "days",
    "epoch_days",
    "epoch_ms",
    "epoch_ns",
    "epoch_s",
    "epoch_us",
    "holiday_dates",
    "hours",
    "is_holiday",
    "local_hour",
    "local_time",
    "minutes",
    "number",
    "over_events",
    "over_outcomes",
    "rows_of",
    "seconds",
    "unscaled",
    "weekday",
]
