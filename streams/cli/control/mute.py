"""`riverrun mute` and `unmute`: a maintenance window for alerts."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from streams.cli.shared.options import AsJson, Prefix, UseCaseName, Who, Why, login_or
from streams.cli.shared.terminal import as_json, data
from streams.config.settings import Settings
from streams.config.use_case_loader import load
from streams.embedded.server_discovery import running


def mute(
    usecase: UseCaseName,
    length: Annotated[
        str, typer.Option("--for", metavar="TIME", help="For how long: 90min, 2h, 1d; up to 7d.")
    ],
    why: Why,
    rule: Annotated[
        list[str] | None,
        typer.Option("--rule", help="Only alerts of this rule; may be repeated. Default: all."),
    ] = None,
    who: Who = None,
    prefix: Prefix = None,
    json: AsJson = False,
) -> None:
    """Send no alerts to the webhook for some time: a maintenance window.

    They open and close on the page and their topic as ever. What is still open when the time is
    over is sent then. A later `mute` replaces an earlier one. Example:
    `riverrun mute flight_eta --for 2h --why "Kafka upgrade"`
    """
    from streams.monitor.alert_context import LIMITS
    from streams.monitor.rules import rules as alert_rules
    from streams.operations.alert_mutes import length_of
    from streams.operations.alert_mutes import mute as begin_mute

    names = [each.name for each in alert_rules(LIMITS)]
    for name in rule or ():
        if name not in names:
            raise typer.BadParameter(f"{name!r} is not a rule; choose from {', '.join(names)}")
    settings = running(Settings.load(riverrun_topic_prefix=prefix))
    until = asyncio.run(
        begin_mute(
            load(usecase).use_case,
            settings,
            length=length_of(length),
            rules=rule or (),
            who=login_or(who),
            why=why,
        )
    )
    if json:
        as_json({"until": until.isoformat(timespec="seconds"), "rules": rule or []})
    else:
        data.print(f"muted until {until:%Y-%m-%d %H:%M} UTC")


def unmute(
    usecase: UseCaseName,
    why: Why,
    who: Who = None,
    prefix: Prefix = None,
    json: AsJson = False,
) -> None:
    """Send alerts to the webhook again before a maintenance window is over.

    Example: `riverrun unmute flight_eta --why "Kafka is back"`
    """
    from streams.operations.alert_mutes import unmute as end_mute

    settings = running(Settings.load(riverrun_topic_prefix=prefix))
    asyncio.run(end_mute(load(usecase).use_case, settings, who=login_or(who), why=why))
    if json:
        as_json({"until": None, "rules": []})
    else:
        data.print("alerts are sent again")
