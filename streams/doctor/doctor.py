"""`riverrun doctor`: everything that keeps riverrun from working here, with cause and remedy."""

from __future__ import annotations

from streams.embedded import machine, reach
from streams.embedded.finding import Finding
from streams.embedded.stack import Stack
from streams.settings import Settings


def doctor(settings: Settings) -> list[Finding]:
    """Look at the machine and the servers; changes nothing and takes half a minute at most.

    What belongs to the embedded servers is looked at only where no others are given.
    """
    findings = list(machine.check_python())
    if not settings.external:
        findings += _embedded(settings)
        endpoints = Stack(settings.home).find()
        if endpoints is None:
            return findings
        settings = settings.at(endpoints.bootstrap_servers, endpoints.redis_url)
    findings.append(reach.check_kafka(settings))
    findings += reach.check_redis(settings)
    findings += reach.check_security(settings)
    return findings


def _embedded(settings: Settings) -> list[Finding]:
    return [
        machine.check_java(),
        machine.check_jars(),
        machine.check_redis_program(),
        *machine.check_room(settings.home),
        machine.check_embedded(settings.home),
        *machine.check_ports(settings.home),
        *machine.check_orphans(),
    ]
