"""`riverrun doctor`: everything that keeps riverrun from working here, with cause and remedy."""

from __future__ import annotations

from streams.config.check_result import CheckResult
from streams.config.settings import Settings
from streams.doctor import grant_checks, machine_checks, server_checks
from streams.embedded.stack import Stack


def doctor(settings: Settings) -> list[CheckResult]:
    """Look at the machine and the servers; changes nothing and takes half a minute at most.

    What belongs to the embedded servers is looked at only where no others are given.
    """
    findings = list(machine_checks.check_python())
    if not settings.external:
        findings += _embedded(settings)
        endpoints = Stack(settings.home).find()
        if endpoints is None:
            return findings
        settings = settings.at(
            endpoints.bootstrap_servers, endpoints.redis_url, endpoints.kafka_password
        )
    findings += grant_checks.check_token(settings)
    findings.append(server_checks.check_kafka(settings))
    if findings[-1].ok or not findings[-1].essential:
        findings += server_checks.check_timestamps(settings)
    findings += server_checks.check_redis(settings)
    findings += server_checks.check_security(settings)
    return findings


def _embedded(settings: Settings) -> list[CheckResult]:
    return [
        machine_checks.check_java(),
        machine_checks.check_jars(),
        machine_checks.check_redis_program(),
        *machine_checks.check_room(settings.home),
        machine_checks.check_embedded(settings.home),
        *machine_checks.check_ports(settings.home),
        *machine_checks.check_orphans(),
    ]
