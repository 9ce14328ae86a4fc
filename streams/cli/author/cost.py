"""`riverrun cost`: the CPU of each model, of explanations and of riverrun itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.cli.shared.option_groups import spread_options
from streams.cli.shared.options import AsJson, Partitions, UseCaseName
from streams.cli.shared.progress import ProgressLine
from streams.cli.shared.recording_options import (
    Limit,
    RecordingOptions,
    print_unmatched,
)
from streams.cli.shared.terminal import TerminalTable, as_json, data, talk
from streams.config.use_case_loader import LoadedUseCase, load
from streams.recordings import Recording

if TYPE_CHECKING:
    from streams.offline.evidence import Assessed


@spread_options
def cost(
    usecase: UseCaseName,
    options: RecordingOptions,
    partitions: Partitions = None,
    limit: Limit = None,
    json: AsJson = False,
) -> None:
    """Measure the CPU of each model, of explanations and of riverrun itself, by sampling.

    Kafka's client and the servers come on top. Example: `riverrun cost flight_eta --limit 20000`
    """
    loaded = load(usecase)
    run = assessed(loaded, options.open(loaded.use_case, limit), partitions)
    if json:
        as_json(
            {
                "use_case": loaded.use_case.name,
                "events": run.events,
                "samples": run.samples,
                "cpu_us": run.cpu_us,
            }
        )
        return
    table = TerminalTable("", "µs an event", "share", box=None)
    total = sum(run.cpu_us.values())
    for name, cpu_us in sorted(run.cpu_us.items(), key=lambda item: -item[1]):
        table.add_row(name, f"{cpu_us:,.0f}", f"{cpu_us / total:.0%}")
    data.print(table)
    talk.print(f"{run.events:,} events, {run.samples:,} samples of the stack.")


def assessed(loaded: LoadedUseCase, recording: Recording, partitions: int | None) -> Assessed:
    """Run the use case over recorded data, with its progress shown."""
    from streams.offline.evidence import assess

    progress = ProgressLine("records run")
    try:
        return assess(loaded, recording, partitions or loaded.use_case.partitions, progress)
    finally:
        progress.done()
        print_unmatched(recording)
