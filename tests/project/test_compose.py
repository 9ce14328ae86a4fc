"""docker-compose.yml, as far as it can be held without a Docker engine."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # it ships no types
import pytest
import yaml

from streams.config.settings import Settings
from streams.embedded.jar_lock import KAFKA_VERSION

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((ROOT / "tests/data/compose-spec.json").read_text("utf-8"))
PINNED = re.compile(r"[a-z/-]+:v?\d+\.\d+(\.\d+)?(-[a-z]+)?")


@pytest.fixture
def compose() -> dict[str, Any]:
    """The document, as YAML reads it."""
    document = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
    assert isinstance(document, dict)
    return document


def test_the_file_is_valid_against_the_compose_schema(compose: dict[str, Any]) -> None:
    """docker-compose.yml holds against the Compose Specification's own JSON schema."""
    jsonschema.Draft202012Validator(SCHEMA).validate(compose)


def test_the_schema_would_find_a_misspelt_key(compose: dict[str, Any]) -> None:
    """The check above can fail: a service with an unknown key is refused."""
    wrong = copy.deepcopy(compose)
    wrong["services"]["kafka"]["healthchek"] = {}
    with pytest.raises(jsonschema.ValidationError, match="healthchek"):
        jsonschema.Draft202012Validator(SCHEMA).validate(wrong)


def test_every_image_is_pinned_and_every_service_has_a_health_check(
    compose: dict[str, Any],
) -> None:
    """No image floats, and Docker can tell whether each service works."""
    for name, service in compose["services"].items():
        assert "build" in service or PINNED.fullmatch(service["image"]), name
        assert service["healthcheck"]["test"], name
    dockerfile = (ROOT / "deploy/Dockerfile").read_text("utf-8")
    assert re.search(r"^FROM python:\d+\.\d+\.\d+-", dockerfile, re.MULTILINE)


def test_the_kafka_is_the_embedded_one(compose: dict[str, Any]) -> None:
    """Both ways to run locally run the same version of Kafka."""
    assert compose["services"]["kafka"]["image"] == f"apache/kafka:{KAFKA_VERSION}"


def test_ports_are_published_on_loopback_only(compose: dict[str, Any]) -> None:
    """Nothing of the stack can be reached from another machine."""
    published = [port for s in compose["services"].values() for port in s.get("ports", [])]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_no_secret_stands_in_the_file(compose: dict[str, Any]) -> None:
    """Secrets come from the caller's environment and reach the containers as files."""
    assert all(list(secret) == ["environment"] for secret in compose["secrets"].values())
    for service in compose["services"].values():
        for name in service.get("environment", {}):
            assert not re.search("PASSWORD|SECRET|KEY", name) or name.endswith("_FILE"), name


def test_workers_get_settings_that_exist_and_are_scraped_where_they_listen(
    compose: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The worker's environment builds `Settings`, and Prometheus asks its HTTP port."""
    environment = dict(compose["services"]["worker"]["environment"])
    assert {name.lower() for name in environment} <= set(Settings.model_fields)
    key = tmp_path / "key"
    key.write_text("k" * 32)
    environment["RIVERRUN_SNAPSHOT_KEY_FILE"] = str(key)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    settings = Settings.load()
    assert settings.external
    scrape = yaml.safe_load((ROOT / "deploy/prometheus/scrape.yml").read_text("utf-8"))
    targets = scrape["scrape_configs"][0]["dns_sd_configs"][0]
    assert targets["names"] == ["worker"]
    assert targets["port"] == settings.riverrun_http_port


def test_every_file_that_is_mounted_or_built_from_exists(compose: dict[str, Any]) -> None:
    """No bind mount or build names a path that is not in the repository."""
    for service in compose["services"].values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (ROOT / source).exists(), source
            else:
                assert source in compose["volumes"], source
        if "build" in service:
            assert (ROOT / service["build"]["dockerfile"]).exists()
