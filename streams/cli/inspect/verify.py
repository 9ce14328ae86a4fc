"""`riverrun verify`: predictions derived again from the log, and compared."""

from __future__ import annotations

import asyncio
import random
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streams.cli.shared.options import AsJson, Prefix, Trust, UseCaseName, trusted_sources
from streams.cli.shared.progress import ProgressLine
from streams.cli.shared.terminal import DIFFERENT, UNPROVABLE, as_json, data, talk
from streams.config.process_env import reexec_if_unsafe
from streams.config.settings import Settings
from streams.config.use_case_loader import LoadedUseCase, load
from streams.embedded.server_discovery import running
from streams.topics.topic_admin import names_of

if TYPE_CHECKING:
    from streams.replay.verified import Verified
    from streams.sources.relay_proof import ProvedRelay

SAMPLE = 100


def verify(
    usecase: UseCaseName,
    event_id: Annotated[
        str | None, typer.Argument(metavar="[EVENT_ID]", help="Only this event's prediction.")
    ] = None,
    sample: Annotated[
        int | None, typer.Option(min=1, help=f"So many, drawn evenly. Default: {SAMPLE}.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every prediction there is.")] = False,
    seed: Annotated[int | None, typer.Option(help="Draws the same sample again.")] = None,
    trust: Trust = None,
    prefix: Prefix = None,
    json: AsJson = False,
) -> None:
    """Derive predictions again from the log, in a fresh process without Redis, and compare.

    Every field is compared to the last bit. With --all, events and outcomes that a relay wrote are
    derived from the topics of others, too. Records on `features` and `examples` are not compared;
    `riverrun features check` compares the features in Redis. Exit code 1 on any difference, the
    first of which is named with its journal position; 6 where it cannot be proved, since the
    definition, the log or the versions are not available any more.
    Example: `riverrun verify flight_eta --sample 500`
    """
    if (event_id is not None) + (sample is not None) + everything > 1:
        raise typer.BadParameter("give one of EVENT_ID, --sample and --all")
    reexec_if_unsafe(["-m", "streams.cli", *sys.argv[1:]])
    from streams.replay.archived_states import starts_of
    from streams.replay.verify import Verifier  # River comes with it, which takes seconds

    settings = running(Settings.load(riverrun_topic_prefix=prefix))
    progress = ProgressLine("journal entries derived")
    loaded = load(usecase)
    verifier = Verifier(
        settings,
        names_of(loaded.use_case, settings),
        starts=starts_of(loaded, settings),
        on_progress=progress,
        trusted=trusted_sources(loaded, trust),
    )
    seed = random.randrange(2**32) if seed is None else seed
    if everything:
        work = verifier.every()
    elif event_id is not None:
        work = verifier.one(event_id)
    else:
        work = verifier.sample(sample or SAMPLE, seed)
    verified = asyncio.run(work)
    progress.done()
    relayed = _relayed(loaded, settings, trust) if everything else None
    if json:
        seed_drawn = None if everything or event_id else seed
        as_json(_result(usecase, verified, seed_drawn, relayed))
    else:
        _print(verified)
        if relayed is not None:
            _print_relayed(relayed)
    if verified.different or (relayed and relayed.different):
        raise typer.Exit(DIFFERENT)
    if not verified.proved or (relayed and relayed.reasons):
        raise typer.Exit(UNPROVABLE)


def _relayed(
    loaded: LoadedUseCase, settings: Settings, trust: list[Path] | None
) -> ProvedRelay | None:
    """Derive relayed records again; None where there are no sources."""
    if not loaded.use_case.sources:
        return None
    from streams.sources.relay_proof import prove_relay

    progress = ProgressLine("relay entries derived")
    names, trusted = names_of(loaded.use_case, settings), trusted_sources(loaded, trust)
    relayed = asyncio.run(prove_relay(settings, names, trusted=trusted, on_progress=progress))
    progress.done()
    return relayed


def _result(
    usecase: str, verified: Verified, seed: int | None, relayed: ProvedRelay | None
) -> dict[str, Any]:
    result = {"use_case": usecase, "seed": seed, **verified.as_json()}
    if relayed is None:
        return result
    proved = result["proved"] and not (relayed.different or relayed.reasons)
    return result | {"proved": proved, "relayed": asdict(relayed)}


def _print_relayed(relayed: ProvedRelay) -> None:
    data.print(
        f"relayed  checked {relayed.checked:,}  different {relayed.different:,}  "
        f"cannot prove {relayed.unproven:,}"
    )
    _print_reasons(relayed)


def _print(verified: Verified) -> None:
    data.print(
        f"checked {verified.checked:,}  different {verified.different:,}  "
        f"cannot prove {verified.unproven:,}  ({verified.entries:,} journal entries derived)"
    )
    _print_reasons(verified)
    if verified.skipped:
        talk.print(
            f"{verified.skipped:,} records were set aside and not applied, then as now: "
            "riverrun dead-letters list USECASE --class skipped",
        )
    if verified.versions and verified.proved:
        talk.print(f"the same, although with {'; '.join(verified.versions)}")


def _print_reasons(result: Verified | ProvedRelay) -> None:
    if result.first is not None:
        data.print(f"first difference: {result.first}", style="red")
    for reason in result.reasons:
        talk.print(f"cannot prove: {reason}", style="yellow")
