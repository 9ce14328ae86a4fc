"""Alerting rules, dashboard and a worker's metrics, held by Prometheus itself."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from streams.embedded import Endpoints
from streams.embedded.free_ports import LOOPBACK, free_ports
from tests.streams.telemetry.test_prometheus import dashboards, rules
from tests.support.loop import SOURCE, Loop, parcels
from tests.support.servers.browser import waited
from tests.support.servers.programs import path_of

DEPLOY = Path(__file__).parents[3] / "deploy" / "prometheus"


def tool(name: str) -> str:
    """Return the path of one of Prometheus' programs; skip the test if it is missing."""
    return path_of(name, package="prometheus")


def told(*command: str) -> str:
    """What promtool says; fails the test if it finds fault."""
    done = subprocess.run(
        [tool("promtool"), *command], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_promtool_takes_rules_and_configuration(tmp_path: Path) -> None:
    """Expressions, durations and templates parse; nothing is misspelt."""
    assert f"{len(rules())} rules found" in told("check", "rules", str(DEPLOY / "rules.yml"))
    config = (DEPLOY / "scrape.yml").read_text("utf-8")
    (tmp_path / "scrape.yml").write_text(config.replace("/etc/prometheus", str(DEPLOY)))
    told("check", "config", str(tmp_path / "scrape.yml"))


def test_each_alerting_rule_does_what_it_says() -> None:
    """Every rule fires on made-up series that show its case, and none on a healthy worker's."""
    suite = yaml.safe_load((DEPLOY / "rules_test.yml").read_text("utf-8"))["tests"]
    cases = [case for test in suite for case in test["alert_rule_test"]]
    fires = {case["alertname"] for case in cases if case.get("exp_alerts")}
    quiet = {case["alertname"] for case in cases if not case.get("exp_alerts")}
    assert fires == quiet == {rule["alert"] for rule in rules()}
    told("test", "rules", str(DEPLOY / "rules_test.yml"))


# With a worker.


class Prometheus:
    """One on loopback that scrapes one worker every second. close ends it."""

    def __init__(self, folder: Path, worker_port: int) -> None:
        (port,) = free_ports(1)
        self.address = f"http://{LOOPBACK}:{port}"
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(DEPLOY / "rules.yml")],
            "scrape_configs": [
                {
                    "job_name": "riverrun",
                    "static_configs": [{"targets": [f"{LOOPBACK}:{worker_port}"]}],
                }
            ],
        }
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        self._log = (folder / "prometheus.log").open("wb")
        self._process = subprocess.Popen(
            [
                tool("prometheus"),
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'tsdb'}",
                f"--web.listen-address={LOOPBACK}:{port}",
            ],
            stdout=self._log,
            stderr=self._log,
        )

    def ask(self, path: str, **query: str) -> Any:
        """The data of an answer; fails the test if it is not a success."""
        url = f"{self.address}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            body = json.load(answer)
        assert body["status"] == "success", body
        return body["data"]

    def query(self, expression: str) -> list[Any]:
        """The samples of an expression now."""
        return list(self.ask("query", query=expression)["result"])

    def wait_for(self, expression: str, within_s: float = 120.0) -> list[Any]:
        """Until it has samples."""
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            try:
                if rows := self.query(expression):
                    return rows
            except OSError:  # it is starting
                pass
            time.sleep(0.5)
        raise AssertionError(f"nothing for {expression}")

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(20)
        self._log.close()


@pytest.fixture
def prometheus(
    stack: Endpoints, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Prometheus]:
    """It watches a worker that serves features, and has learnt."""
    tool("prometheus")
    (port,) = free_ports(1)
    monkeypatch.setenv("RIVERRUN_HTTP_PORT", str(port))
    loop = Loop(stack, tmp_path, SOURCE.replace("warmup=20", "warmup=20, serve_features=True"))
    server = Prometheus(tmp_path, port)
    try:
        rows = parcels(300)
        loop.start()
        server.wait_for('riverrun_partitions{state="live"} > 0')
        waited(loop.publish(rows))
        waited(loop.wait_for("examples", [str(f["event_id"]) for k, f in rows if k == "event"]))
        yield server
    finally:
        server.close()
        loop.close()


ABSENT = (
    "riverrun_model_staleness", "riverrun_learner_", "riverrun_train", "riverrun_source_",
)  # fmt: skip
"""Of what parcels has none: shared models, their learner and its trainers, sources."""


@pytest.mark.integration
def test_prometheus_answers_the_whole_dashboard_and_evaluates_every_rule(
    prometheus: Prometheus,
) -> None:
    """Of a live worker: only what never happened is empty, no rule fails, none fires."""
    prometheus.wait_for("sum(riverrun_learnt_total) >= 300")
    prometheus.wait_for("sum(rate(riverrun_events_total[1m])) > 0")
    prometheus.wait_for("sum(delta(riverrun_kpi_count[1m])) > 0")
    (total,) = prometheus.query("sum(riverrun_events_total)")
    assert float(total["value"][1]) == 300
    empty = set()
    for _, dashboard in dashboards():
        asked = [(p["title"], t["expr"]) for p in dashboard["panels"] for t in p["targets"]]
        asked += [("annotation", each["expr"]) for each in dashboard["annotations"]["list"]]
        for title, expression in asked:
            expression = expression.replace("$use_case", "parcels")
            assert "$" not in expression
            if not any(name in expression for name in ABSENT) and not prometheus.query(expression):
                empty.add(title)
    # No definition changed, and no snapshot is due within so short a life.
    assert empty <= {"annotation", "Snapshots: age", "Snapshots: size", "Snapshots: cost"}
    (group,) = prometheus.ask("rules")["groups"]
    assert len(group["rules"]) == len(rules())
    assert {rule["health"] for rule in group["rules"]} == {"ok"}
    assert [rule["name"] for rule in group["rules"] if rule["state"] == "firing"] == []
