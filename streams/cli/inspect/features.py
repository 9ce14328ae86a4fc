"""`riverrun features`: the content of the feature store, and a check of it."""

from __future__ import annotations

import asyncio
import random
import sys
from dataclasses import asdict
from typing import Annotated, Any

import typer

from schemas.errors import ConfigError
from streams.cli.shared.options import AsJson, Prefix, Reveal, UseCaseName
from streams.cli.shared.terminal import UNPROVABLE, as_json, data, talk
from streams.config.process_env import reexec_if_unsafe
from streams.config.settings import Settings
from streams.config.use_case_loader import LoadedUseCase, load
from streams.embedded.server_discovery import running

features = typer.Typer(
    name="features", no_args_is_help=True, help="The newest features of each entity."
)

Entities = Annotated[list[str], typer.Argument(metavar="KEY...", help="Which entities.")]


@features.command()
def get(
    usecase: UseCaseName,
    keys: Entities,
    reveal: Reveal = None,
    prefix: Prefix = None,
    json: AsJson = False,
) -> None:
    """Print the newest features of some entities, with their event and journal position.

    Exit code 1 if one has none. Example: `riverrun features get flight_eta EWR JFK`
    """
    from riverrun.client import FeatureReader
    from streams.operations.reveal import masking_for

    settings, loaded = _serving(usecase, prefix)
    case = loaded.use_case
    subject = f"features of {', '.join(keys)}"
    masking = masking_for(case, settings, why=reveal, subject=subject)
    assert settings.redis_url is not None
    url, before = settings.redis_address(), settings.riverrun_topic_prefix
    with FeatureReader(url, case.name, prefix=before) as reader:
        stored = dict(zip(keys, reader.many(keys), strict=True))
    rows: dict[str, Any] = {
        name: row and masking.value("features", asdict(row)) for name, row in stored.items()
    }
    if json:
        as_json(rows)
    else:
        _print(rows)
    if None in stored.values():
        raise typer.Exit(1)


def _print(rows: dict[str, Any]) -> None:
    for name, row in rows.items():
        if row is None:
            talk.print(f"{name}: no features are stored")
            continue
        position = f"partition {row['partition']}, step {row['step']}"
        data.print(f"{name}  {row['event_time']:%Y-%m-%d %H:%M:%S}  {position}")
        for feature, value in row["features"].items():
            data.print(f"  {feature:24} {value}")


@features.command()
def check(
    usecase: UseCaseName,
    sample: Annotated[int, typer.Option(min=1, help="How many entities, drawn evenly.")] = 20,
    seed: Annotated[int | None, typer.Option(help="Draw the same sample again.")] = None,
    prefix: Prefix = None,
    json: AsJson = False,
) -> None:
    """Compute stored features again from the log, and compare to the last bit.

    Exit code 1 if one differs, 6 if it cannot be proved. Example:
    `riverrun features check flight_eta`
    """
    reexec_if_unsafe(["-m", "streams.cli", *sys.argv[1:]])
    from streams.inspection.feature_skew import compared, stored_sample
    from streams.replay.archived_states import starts_of
    from streams.topics.topic_admin import names_of, partitions_of

    settings, loaded = _serving(usecase, prefix)
    case, names = loaded.use_case, names_of(loaded.use_case, settings)
    seed = random.randrange(2**32) if seed is None else seed
    stored, sample_rows = stored_sample(settings, case.name, sample, seed)

    async def compare() -> Any:
        partitions = await partitions_of(case, settings)
        starts = starts_of(loaded, settings)
        return await compared(
            sample_rows, settings, names, partitions, starts=starts, trusted=[loaded.source]
        )

    skew = asyncio.run(compare())
    skew.stored = stored
    if json:
        as_json(asdict(skew) | {"use_case": case.name, "seed": seed})
    else:
        data.print(
            f"stored {stored:,}  checked {skew.checked:,}  different {len(skew.different):,}"
        )
        for name, (feature, was, recomputed) in skew.different.items():
            data.print(f"{name}: {feature} is {was}, computed again {recomputed}")
        for reason in skew.unproven:
            talk.print(f"cannot prove: {reason}")
    if skew.different:
        raise typer.Exit(1)
    if skew.unproven:
        raise typer.Exit(UNPROVABLE)


def _serving(usecase: str, prefix: str | None) -> tuple[Settings, LoadedUseCase]:
    loaded = load(usecase)
    if not loaded.use_case.serve_features:
        raise ConfigError(
            f"{loaded.use_case.name} does not serve features.",
            hint="Declare serve_features=True in its file, and `riverrun redefine` it.",
        )
    return running(Settings.load(riverrun_topic_prefix=prefix)), loaded
