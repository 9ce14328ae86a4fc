"""`riverrun profile`: a profile of data before there is a model."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Column

from models.formats.payload import Schemas
from schemas.errors import ConfigError, Unavailable
from streams.cli.shared.option_groups import spread_options
from streams.cli.shared.options import AsJson
from streams.cli.shared.recording_options import FormatOptions, Outcomes, print_report, topic_reader
from streams.cli.shared.terminal import TerminalTable, as_json, data, talk
from streams.config.settings import Settings
from streams.recordings import Report
from streams.recordings.cells import TIME_EXAMPLE
from streams.recordings.files import is_stored

if TYPE_CHECKING:
    from models.validation.foreign_topic_profile import SourceProfile

TOPIC_MAX = 100_000
LABELLED_MAX = 20_000
"""The number of first rows on which simple rules are tried."""
RULES_SHOWN = 6


@spread_options
def profile(
    source: Annotated[list[str], typer.Argument(metavar="TOPIC|FILE...", help="What to profile.")],
    options: FormatOptions,
    outcomes: Outcomes = None,
    time: Annotated[str | None, typer.Option(help="The field with the time.")] = None,
    id: Annotated[str, typer.Option(help="The field that both share.")] = "event_id",
    label: Annotated[
        str | None, typer.Option(help="The field to be predicted: rank simple rules for it.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Read at most N records. Default for topics: 100,000.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Profile data before there is a model: fields, types, ranges, time, keys, label delays.

    With --label, name the simple rule that predicts it best: every model has to beat that. Any
    recording: files, folders, topics. Of a topic of others, or TOPIC=FILE, it proposes the source
    that would adopt it. Example: `riverrun profile visits.csv --label minutes`
    """
    from models.validation.data_profile import Profile

    data_profile, read = Profile(time=time, id=id), Report()
    labelled_rows: list[Any] = []
    names = () if time is None else (time,)

    def rows(sources: list[str]) -> Iterator[Any]:
        from streams.recordings.unmapped_rows import rows_of

        reader = topic_reader(limit or TOPIC_MAX)
        return islice(rows_of(sources, reader, options.format, names, read), limit)

    seen = {each: profile for each in source if (profile := _foreign(each)) is not None}
    proposals = [_proposal(*each) for each in seen.values()]
    decoded = [one for each in source if (one := seen.get(each)) and one[1].format != "Json()"]
    if time is None and decoded:
        data_profile.time = decoded[0][1].time
    plain = [_where(each) for each in source if seen.get(each) not in decoded]
    for row in chain(rows(plain), *(one[1].rows for one in decoded)):
        labelled = outcomes is None and row.get("outcome_time") not in (None, "")
        if not labelled or row.get(data_profile.time or "event_time") not in (None, ""):
            data_profile.event(row)
            if label is not None and len(labelled_rows) < LABELLED_MAX:
                labelled_rows.append(row)
        if labelled:
            data_profile.outcome(row)
    for row in rows(outcomes or []):
        data_profile.outcome(row)
    print_report(read)
    unread = read.refused and not data_profile.records and not data_profile.outcomes
    if unread and not proposals:
        raise ConfigError(
            f"None of the {read.refused:,} records can be read. The first: {read.faults[0]}"
        )
    report = data_profile.report() | {"recording": read.as_json(), "sources": proposals}
    if label is not None:
        report["rules"] = _rules(labelled_rows, label, data_profile.time)
    if json:
        as_json(report)
        return
    if not unread:
        _show_profile(report, ", ".join(source))
    for proposal in proposals:
        _show_source(proposal)


def _where(source: str) -> str:
    """Return the topic, file or folder in TOPIC=FILE or one of them alone."""
    return source.partition("=")[2] if _is_named(source) else source


def _is_named(source: str) -> bool:
    """Return whether it is TOPIC=FILE."""
    from models.validation.check_names import TOPIC

    topic, sign, _ = source.partition("=")
    return bool(sign) and TOPIC.fullmatch(topic) is not None and not Path(source).exists()


def _foreign(argument: str) -> tuple[str, SourceProfile] | None:
    """Return a foreign topic and its profile; None for anything else."""
    from streams.offline.foreign_sample import SAMPLE, foreign_profile
    from streams.registry.known_schemas import schemas_of

    if not _is_named(argument) and is_stored(argument):
        return None

    def schemas(values: list[bytes]) -> Schemas:
        try:
            return schemas_of(values, Settings.load())
        except Unavailable as error:  # JSON behind a schema id can be read all the same
            talk.print(str(error), markup=False)
            return {}

    try:
        return foreign_profile(argument, topic_reader(SAMPLE), schemas)
    except ConfigError as error:
        talk.print(f"source? {error}", markup=False)
        return None


def _proposal(topic: str, seen: SourceProfile) -> dict[str, Any]:
    from streams.offline.foreign_draft import source_text

    return {
        "topic": topic,
        "format": seen.format,
        "records": seen.records,
        "refused": seen.refused,
        "id": seen.id,
        "time": seen.time,
        "time_read": seen.shown_time,
        "key": seen.key,
        "source": source_text(topic, seen),
    }


def _show_source(proposal: dict[str, Any]) -> None:
    data.print(
        f"source? {proposal['topic']}: {proposal['format']}, id {proposal['id']}, time "
        f"{proposal['time_read']}, key {proposal['key']} (`riverrun new NAME --from` writes a use "
        "case)"
    )
    data.print(proposal["source"], markup=False, highlight=False, soft_wrap=True)


def _rules(rows: list[Any], label: str, time: str | None) -> list[dict[str, Any]]:
    """Return the simple rules by their error on the first rows; raise where nothing is labelled."""
    from models.validation.data_profile import seconds_of
    from models.validation.simple_rules import joined, ranked

    examples = joined(rows, label, time or "event_time", seconds_of)
    if not examples:
        raise ConfigError(
            f"No row has both a time and the label {label!r}.",
            hint="Name fields of the same rows: --label, and --time for the time.",
        )
    return [{"rule": r.rule.words, "error": r.error} for r in ranked(examples, label)]


def _show_rules(report: dict[str, Any]) -> None:
    rules = report.get("rules") or []
    if rules:
        data.print("simple rules, by their error (mean absolute, or share wrong):")
    for rule in rules[:RULES_SHOWN]:
        data.print(f"  {rule['error']:.4g}  {rule['rule']}")


def _show_profile(report: dict[str, Any], source: str) -> None:
    data.print(f"{source}: {report['records']:,} records")
    columns = ("field", "type", "missing", "least", "most", "distinct", "most common")
    table = TerminalTable(*(Column(c, no_wrap=c != columns[-1]) for c in columns), box=None)
    for name, field in report["fields"].items():
        common = field["common"] if _is_informative(field) else []
        table.add_row(
            name,
            ", ".join(field["types"]) or "none",
            _missing(field),
            _short(field["least"]),
            _short(field["most"]),
            f"{field['distinct']:,}{'+' if field['distinct_at_least'] else ''}",
            ", ".join(f"{_short(value)} {share:.0%}" for value, share in common),
        )
    data.print(table)
    _show_time(report["time"])
    _show_keys(report)
    _show_delays(report["delays"])
    _show_rules(report)


def _missing(field: dict[str, Any]) -> str:
    share = f"{field['missing']:.1%}" if field["missing"] else ""
    return share + "".join(f" {text}" for text in field["absent"])


def _is_informative(field: dict[str, Any]) -> bool:
    """Return whether the most common values characterise the field."""
    return bool(field["common"]) and (field["distinct"] <= 20 or field["common"][0][1] >= 0.05)


def _show_time(time: dict[str, Any] | None) -> None:
    if time is None:
        data.print("time: no field with a time; name one with --time")
        return
    if time["not_a_time"]:
        data.print(
            f"time: {time['not_a_time']:,} values of {time['field']} are not times, the first is "
            f"{time['not_a_time_first']!r}; write {TIME_EXAMPLE}, or a Unix time",
        )
    if "from" not in time:
        return
    rate = f", {time['per_hour']:,.1f} an hour" if time["per_hour"] else ""
    data.print(
        f"time: {time['field']}, {time['from']} to {time['to']}{rate}, at most "
        f"{time['per_hour_most']:,} in one",
    )
    if time["out_of_order"]:
        late = _about(time["out_of_order_s_most"])
        data.print(f"order: {time['out_of_order']:.1%} come after a later one, by up to {late}")
    else:
        data.print("order: in the order of their time")


def _show_keys(report: dict[str, Any]) -> None:
    if report["ids"]:
        data.print(f"ids: {', '.join(report['ids'])} (never twice the same)")
    for key in report["keys"][:5]:
        data.print(
            f"key? {key['field']}: {key['distinct']:,} values, the largest {key['largest']:.0%}; "
            f"of 4 partitions the fullest gets {key['partition_most']:.0%}",
        )


def _show_delays(delays: dict[str, Any] | None) -> None:
    if delays is None:
        return
    data.print(f"labels: {delays['labelled']:.1%} of the records have an outcome")
    if delays["unmatched"]:
        data.print(f"  {delays['unmatched']:,} outcomes belong to no record before them")
    if delays["negative"]:
        data.print(f"  {delays['negative']:,} outcomes are earlier than their event")
    if "half" in delays:
        each = "; ".join(f"{n}: {_about(delays[n])}" for n in ("half", "90 %", "99 %", "all"))
        data.print(f"  known after: {each}. horizon={delays['horizon']} keeps 99 %")


def _short(value: Any) -> str:
    if value is None:
        return ""
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 24 else text[:23] + "…"


def _about(length_s: float) -> str:
    for unit, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if abs(length_s) >= 2 * size:
            return f"{length_s / size:.3g} {unit}"
    return f"{length_s:.3g} seconds"
