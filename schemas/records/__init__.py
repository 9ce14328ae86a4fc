"""The output records: one pydantic model a record type, every field with its unit.

The partition task builds these as plain dictionaries; a test holds every record against its model
here. All values are deterministic: the time of answering is the record's own Kafka timestamp.
"""

from schemas.records.definitions import Definition, DefinitionFile
from schemas.records.evidence import Arm, Evidence, Standing
from schemas.records.metrics import Delays, Drift, Metric
from schemas.records.operations import (
    Alert,
    DeadLetter,
    JournalEntry,
    Lifecycle,
    Redefined,
    SkippedRecord,
)
from schemas.records.output_record import OutputRecord, Scalar
from schemas.records.predictions import Example, Features, Prediction
from schemas.records.sources import RelayedId, SourceSchema
from schemas.records.training import (
    ModelUpdate,
    Roles,
    TableRows,
    Training,
    Version,
    WindowEntries,
)

__all__ = [
    "Alert",
    "Arm",
    "DeadLetter",
    "Definition",
    "DefinitionFile",
    "Delays",
    "Drift",
    "Evidence",
    "Example",
    "Features",
    "JournalEntry",
    "Lifecycle",
    "Metric",
    "ModelUpdate",
    "OutputRecord",
    "Prediction",
    "Redefined",
    "RelayedId",
    "Roles",
    "Scalar",
    "SkippedRecord",
    "SourceSchema",
    "Standing",
    "TableRows",
    "Training",
    "Version",
    "WindowEntries",
]
