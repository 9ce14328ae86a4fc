"""A real Schema Registry for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.servers import apicurio


@pytest.fixture(scope="package")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of one that runs as long as these tests do."""
    with apicurio.running(tmp_path_factory.mktemp("apicurio")) as address:
        yield address
