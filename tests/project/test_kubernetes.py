"""The Kubernetes sample, as far as it can be held without a cluster."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # it ships no types
import pytest
import yaml

from streams.config.settings import Settings
from streams.worker.worker_process import SHUTDOWN_S_MAX
from tests.project.test_docs import COMMANDS, accepts

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "kubernetes"
SCHEMA = json.loads((ROOT / "tests/data/kubernetes-1.34.json").read_text("utf-8"))
KUSTOMIZATION = yaml.safe_load((FOLDER / "kustomization.yaml").read_text("utf-8"))
Document = dict[str, Any]


def documents() -> list[Document]:
    """Every object of every file that is applied."""
    texts = [(FOLDER / name).read_text("utf-8") for name in KUSTOMIZATION["resources"]]
    return [document for text in texts for document in yaml.safe_load_all(text)]


def of(kind: str) -> list[Document]:
    """Those of a kind."""
    return [document for document in documents() if document["kind"] == kind]


def validate(document: Document) -> None:
    """Against Kubernetes' own definitions; unknown fields are refused."""
    schema = {
        "$ref": f"#/definitions/{SCHEMA['kinds'][document['kind']]}",
        "definitions": SCHEMA["definitions"],
    }
    jsonschema.Draft7Validator(schema).validate(document)


def pods() -> list[Document]:
    """Pod specifications."""
    return [d["spec"]["template"]["spec"] for d in (*of("StatefulSet"), *of("Deployment"))]


def containers() -> list[Document]:
    """Containers of all pods."""
    return [container for pod in pods() for container in pod["containers"]]


def test_every_file_is_applied() -> None:
    """None is forgotten in kustomization.yaml, none is named that there is not."""
    files = {path.name for path in FOLDER.glob("*.yaml")} - {"kustomization.yaml"}
    assert files == set(KUSTOMIZATION["resources"])


@pytest.mark.parametrize(
    "document", documents(), ids=lambda d: f"{d['kind']}-{d['metadata']['name']}"
)
def test_every_object_is_valid(document: Document) -> None:
    """By Kubernetes 1.34's schemas; a PodMonitor is another project's, and plain enough."""
    if document["kind"] == "PodMonitor":
        [endpoint] = document["spec"]["podMetricsEndpoints"]
        assert (endpoint["port"], endpoint["path"]) == ("http", "/metrics")
        return
    validate(document)


def test_a_misspelt_field_would_be_found() -> None:
    """Else the test before this one would hold nothing."""
    wrong = copy.deepcopy(of("StatefulSet")[0])
    wrong["spec"]["template"]["spec"]["containers"][0]["livenesProbe"] = {}
    with pytest.raises(jsonschema.ValidationError, match="livenesProbe"):
        validate(wrong)


def test_every_setting_exists_and_no_secret_is_written_down() -> None:
    """Names are those of the settings; secrets come as files that the pods mount."""
    known = {name.upper(): field for name, field in Settings.model_fields.items()}
    [config] = of("ConfigMap")
    named = dict(config["data"])
    for container in containers():
        named |= {entry["name"]: entry["value"] for entry in container.get("env", ())}
    mounts = {m["mountPath"] for c in containers() for m in c["volumeMounts"]}
    for name, value in named.items():
        assert name in known, name
        assert "SecretStr" not in str(known[name].annotation), f"{name} is a secret"
        if name.endswith("_FILE"):
            assert str(Path(value).parent) in mounts, value
    assert not of("Secret")


def test_the_settings_are_accepted_as_they_are(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Settings.load takes the config map, with the secrets' files there."""
    monkeypatch.chdir(tmp_path)
    for name, value in of("ConfigMap")[0]["data"].items():
        if name.endswith("_FILE"):
            secret = tmp_path / Path(value).name
            url = "rediss://:word@redis.example.com:6379/0"
            secret.write_text(url if name.startswith("REDIS") else "a secret of 16 bytes")
            value = str(secret)
        monkeypatch.setenv(name, value)
    settings = Settings.load()
    assert settings.external
    assert settings.kafka_security_protocol == "SASL_SSL"


def test_every_command_exists_with_its_options() -> None:
    """What the containers run is what riverrun takes."""
    for container in containers():
        name, *words = container["args"]
        assert accepts(COMMANDS[name], words), container["args"]


def test_probes_ask_what_is_served() -> None:
    """On the named port of the container; a worker is given longer to stop than it takes."""
    for container in containers():
        ports = {port["name"] for port in container["ports"]}
        for probe in ("livenessProbe", "readinessProbe"):
            get = container[probe]["httpGet"]
            assert get["path"] in ("/livez", "/readyz")
            assert get["port"] in ports
    [workers] = of("StatefulSet")
    pod = workers["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] > SHUTDOWN_S_MAX
    [worker] = pod["containers"]
    assert worker["readinessProbe"]["httpGet"]["path"] == "/readyz"
    port = of("ConfigMap")[0]["data"]["RIVERRUN_HTTP_PORT"]
    assert str(worker["ports"][0]["containerPort"]) == port


def test_pods_may_do_nothing_that_they_need_not() -> None:
    """No root, no privileges, a root file system that is read only, no cluster token."""
    for pod in pods():
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["automountServiceAccountToken"] is False
    for container in containers():
        context = container["securityContext"]
        assert context["readOnlyRootFilesystem"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert container["resources"]["limits"]["memory"]


def test_selectors_find_their_pods() -> None:
    """Services, budgets, policies and the monitor select pods that there are."""
    labels = [
        d["spec"]["template"]["metadata"]["labels"] for d in (*of("StatefulSet"), *of("Deployment"))
    ]
    for kind in ("Service", "PodDisruptionBudget", "NetworkPolicy", "PodMonitor"):
        for document in of(kind):
            spec = document["spec"]
            selector = spec.get("selector") or spec["podSelector"]
            wanted = selector.get("matchLabels", selector)
            assert any(wanted.items() <= pod_labels.items() for pod_labels in labels), document[
                "metadata"
            ]
