"""`riverrun features`: what the feature store has, and whether it is right."""

from __future__ import annotations

import asyncio
import random
import sys
from dataclasses import asdict
from typing import Annotated, Any

import typer

from schemas.errors import Misdeclared
from streams.cli.options import AsJson, Prefix, Reveal, UseCaseName
from streams.cli.terminal import as_json, data, talk
from streams.loading import Loaded, load
from streams.processes import reexec_if_unsafe
from streams.servers import running
from streams.settings import Settings

features = typer.Typer(no_args_is_help=True, help="The newest features of each entity.")

Entities = Annotated[list[str], typer.Argument(metavar="KEY...", help="Which entities.")]
UNPROVABLE = 6


def register(app: typer.Typer) -> None:
    """Add this file's commands."""
    features.command()(get)
    features.command()(check)
    app.add_typer(features, name="features")


def get(
    usecase: UseCaseName,
    keys: Entities,
    reveal: Reveal = None,
    prefix: Prefix = None,
    json: AsJson = False,
) -> None:
    """Print the newest features of some entities, with their event and place in the journal.

    Exit code 1 if one has none. Example: `riverrun features get flight_eta EWR JFK`
    """
    from schemas.serving import FeatureReader
    from streams.revealing import masking_for

    settings, loaded = _serving(usecase, prefix)
    case = loaded.use_case
    what = f"features of {', '.join(keys)}"
    masking = masking_for(case, settings, why=reveal, what=what)
    assert settings.redis_url is not None
    url, before = settings.redis_url.get_secret_value(), settings.riverrun_topic_prefix
    with FeatureReader(url, case.name, prefix=before) as reader:
        found = dict(zip(keys, reader.many(keys), strict=True))
    shown: dict[str, Any] = {
        name: one and masking.value("features", asdict(one)) for name, one in found.items()
    }
    if json:
        as_json(shown)
    else:
        _print(shown)
    if None in found.values():
        raise typer.Exit(1)


def _print(shown: dict[str, Any]) -> None:
    for name, one in shown.items():
        if one is None:
            talk.print(f"{name}: nothing is stored", markup=False)
            continue
        place = f"partition {one['partition']}, step {one['step']}"
        data.print(f"{name}  {one['event_time']:%Y-%m-%d %H:%M:%S}  {place}", markup=False)
        for feature, value in one["features"].items():
            data.print(f"  {feature:24} {value}", markup=False)


def check(
    usecase: UseCaseName,
    sample: Annotated[int, typer.Option(min=1, help="So many entities, drawn evenly.")] = 20,
    seed: Annotated[int | None, typer.Option(help="Draws the same sample again.")] = None,
    prefix: Prefix = None,
    json: AsJson = False,
) -> None:
    """Compute stored features anew from the log, and compare to the last bit.

    Exit code 1 if one differs, 6 if it cannot be told. Example:
    `riverrun features check flight_eta`
    """
    reexec_if_unsafe(["-m", "streams.cli", *sys.argv[1:]])
    from streams.skew import compared, stored_sample
    from streams.starting import starts_of
    from streams.topics import names_of, partitions_of

    settings, loaded = _serving(usecase, prefix)
    case, names = loaded.use_case, names_of(loaded.use_case, settings)
    seed = random.randrange(2**32) if seed is None else seed
    stored, wanted = stored_sample(settings, case.name, sample, seed)

    async def compare() -> Any:
        partitions = await partitions_of(case, settings)
        starts = starts_of(loaded, settings)
        return await compared(
            wanted, settings, names, partitions, starts=starts, trusted=[loaded.source]
        )

    skew = asyncio.run(compare())
    skew.stored = stored
    if json:
        as_json(asdict(skew) | {"use_case": case.name, "seed": seed})
    else:
        data.print(
            f"stored {stored:,}  checked {skew.checked:,}  different {len(skew.different):,}"
        )
        for name, (feature, was, anew) in skew.different.items():
            data.print(f"{name}: {feature} is {was}, computed anew {anew}", markup=False)
        for reason in skew.unproven:
            talk.print(f"cannot tell: {reason}", markup=False)
    if skew.different:
        raise typer.Exit(1)
    if skew.unproven:
        raise typer.Exit(UNPROVABLE)


def _serving(usecase: str, prefix: str | None) -> tuple[Settings, Loaded]:
    loaded = load(usecase)
    if not loaded.use_case.serve_features:
        raise Misdeclared(
            f"{loaded.use_case.name} does not serve features.",
            mend="Declare serve_features=True in its file, and `riverrun redefine` it.",
        )
    return running(Settings.load(riverrun_topic_prefix=prefix)), loaded
