"""All of it."""

from __future__ import annotations

from tests.support.odd_values.avro import AVRO
from tests.support.odd_values.debezium import DEBEZIUM
from tests.support.odd_values.envelopes import ENVELOPES
from tests.support.odd_values.plain_json import JSON
from tests.support.odd_values.protobuf import PROTOBUF

GALLERY = [*AVRO, *PROTOBUF, *JSON, *DEBEZIUM, *ENVELOPES]
