"""All comparisons of a use case, folded over released blocks, and the commands of the rule.

Everything is a function of the blocks in their order: a second fold gives the same standings and
the same commands under the same ids, so a decider may be killed, restarted or run twice.

A comparison starts over whenever another model answers, when a model on either side starts over,
and when arms are changed. Under another definition a model starts over if its declaration has
changed, and all models do if the KPI, the features or anything else that is compared has
(`models.replay.state_migration.COMPARED`). Each comparison has its share of one error budget, half
of the use case's alpha, and counts only blocks that lie wholly after its start. The served
predictions against the baseline are another question, with the whole alpha for itself; nothing is
decided by it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, NamedTuple

import orjson

from models.promotion.block_merger import MergedBlock, Record, seconds
from models.promotion.comparison import Contender, Question
from models.spec.experiment_arms import CHAMPION
from models.spec.use_case import UseCase
from models.stats.ab_test import AbTest
from models.stats.alpha_spending import AlphaSpending
from models.stats.confidence_sequence import Comparison
from models.worth.closed_blocks import unpriced

AGAIN_BLOCKS = 120
"""A challenger that was found worse, and stays, is compared again after so many blocks."""


class Proposal(NamedTuple):
    """A command that a rule proposes: its verb, model, id and reason."""

    verb: str
    model: str
    command_id: str
    why: str
    contender: Contender


class Beginning(NamedTuple):
    """The definition and the times since which a comparison holds in one partition."""

    definition: str
    times: list[float]


class Decided(NamedTuple):
    """What one block led to."""

    block: MergedBlock
    contenders: list[Contender]
    wish: Proposal | None
    definition: str


@dataclass(slots=True)
class Decider:
    """Folds blocks. Call `take` for each, in the order of time.

    Memory: about 3 kB a model.
    """

    use_case: UseCase
    budget: AlphaSpending = field(init=False)
    worth: Contender = field(init=False)
    contenders: dict[tuple[Question, str], Contender] = field(default_factory=dict)
    began: dict[tuple[Question, str], dict[int, Beginning]] = field(default_factory=dict)
    champion: str | None = None
    promoting: str | None = None
    unpriced: int = 0

    def __post_init__(self) -> None:
        alpha = self.use_case.contest.alpha
        # Segments' own models have the other half.
        self.budget = AlphaSpending(alpha if self.use_case.segments is None else alpha / 2)
        contest = self._comparison(alpha, counts_warm_up=True)
        self.worth = Contender("worth", "served", "baseline", contest, 0.0)

    @property
    def _bound(self) -> float:
        least, most = self.use_case.kpi.range
        return most - least

    @property
    def _sign(self) -> float:
        return 1.0 if self.use_case.kpi.better == "lower" else -1.0

    def _comparison(self, alpha: float, *, counts_warm_up: bool = False) -> Comparison:
        declared = self.use_case.contest
        return Comparison(
            alpha=alpha,
            bound=self._bound,
            counts_warm_up=counts_warm_up,
            missing_outcomes=declared.missing,
            rare_losses=declared.rare_losses,
        )

    def take(self, block: MergedBlock) -> Decided:
        """Add the next block; return the standings after it, and what a rule proposes."""
        records = block.records
        # Where default labels have no KPI, the others are a choice by label: nothing is compared.
        self.unpriced += (missed := sum(map(unpriced, records)))
        if not missed:
            self._worth(block)
        wish = None
        champion = _one(record["champion"] for record in records)
        if champion is not None and not missed:
            self._compare(block, champion)
            wish = self._wish(block)
        standing = [self.worth, *self.contenders.values()]
        definition = records[-1]["definition"] if records else ""
        return Decided(block, standing, wish, definition)

    def _worth(self, block: MergedBlock) -> None:
        n = sum(record["kpi_n"] for record in block.records)
        kpi = added(record["kpi"] for record in block.records)
        missing = sum(record["missing"] for record in block.records)
        if n:
            gain = self._sign * (kpi.get("baseline", 0.0) - kpi.get("served", 0.0))
            assert isinstance(self.worth.contest, Comparison)
            self.worth.contest.update(int(n), gain, missing, cost=kpi.get("baseline", 0.0))
            self.worth.settled(block.start)

    # Models against the champion.

    def _compare(self, block: MergedBlock, champion: str) -> None:
        if champion != self.champion:
            self.champion, self.promoting = champion, None
            for question, name in list(self.contenders):
                self._forget(question, name)
            self.began.clear()
        names = {name for record in block.records for name in record["paired"]} - {"baseline"}
        arms = {name for record in block.records for name in record["arms"]}
        for name in self.use_case.models:
            if name != champion and name in names and champion in names:
                self._shadow(block, name, champion)
            else:
                self._forget("shadow", name)
            if name != champion and name in arms and CHAMPION in arms:
                self._experiment(block, name, champion)
            else:
                self._forget("experiment", name)

    def _forget(self, question: Question, name: str) -> None:
        self._end(question, name)
        self.began.pop((question, name), None)

    def _end(self, question: Question, name: str) -> None:
        """End a comparison; its share is free again if it could not have erred yet."""
        contender = self.contenders.pop((question, name), None)
        if contender is not None and contender.contest.seen < contender.contest.blocks_least:
            assert contender.share is not None
            self.budget.give_back(contender.share)

    def _contender(
        self, question: Question, name: str, champion: str, block: MergedBlock
    ) -> Contender | None:
        """Return the comparison that this block belongs to, a new one if need be; None if none."""
        key = question, name
        known = self.began.setdefault(key, {})
        now = {r["partition"]: _beginning(r, question, name, champion) for r in block.records}
        if any(
            known.get(partition, now[partition]).times != now[partition].times for partition in now
        ):
            self._end(question, name)
        known.update(now)
        if any(time > block.start for beginning in now.values() for time in beginning.times):
            return None
        contender = self.contenders.get(key)
        if contender is not None and self._is_old(contender):
            contender = None
        if contender is None:
            contender = self.contenders[key] = self._begin(question, name, champion)
        return contender

    def _is_old(self, contender: Contender) -> bool:
        contest = contender.contest
        return (
            contest.verdict == "worse"
            and contender.command_id is None
            and isinstance(contest, Comparison)
            and contest.seen - (contest.decided_at or 0) >= AGAIN_BLOCKS
        )

    def _begin(self, question: Question, name: str, champion: str) -> Contender:
        share = self.budget.open(f"{question}:{name}/{champion}")
        # The budget is for false winners: each of the two bounds has the whole share.
        alpha = 2.0 * share.alpha
        contest: Comparison | AbTest
        if question == "shadow":
            contest = self._comparison(alpha)
        else:
            lower = self.use_case.kpi.better == "lower"
            missing = self.use_case.contest.missing
            contest = AbTest(alpha, self._bound, lower, missing_outcomes=missing)
        rule = self.use_case.promotion
        return Contender(
            question,
            name,
            champion,
            contest,
            rule.margin,
            share=share,
            max_diverged=rule.max_diverged,
        )

    def _shadow(self, block: MergedBlock, name: str, champion: str) -> None:
        contender = self._contender("shadow", name, champion, block)
        if contender is None:
            return
        n = sum(record["paired_n"] for record in block.records)
        paired = added(record["paired"] for record in block.records)
        labelled = sum(record["kpi_n"] for record in block.records)
        missing = sum(record["missing"] for record in block.records)
        if not n:
            return
        contender.price(n, paired[champion])
        gain = self._sign * (paired[champion] - paired[name])
        share = n / labelled if labelled else 1.0
        assert isinstance(contender.contest, Comparison)
        contender.contest.update(n, gain, round(missing * share), cost=paired[champion])
        sums = [record["sums"] for record in block.records]
        contender.add(
            added(s.get(name, {}) for s in sums), added(s.get(champion, {}) for s in sums)
        )
        _note_withheld(contender, block)
        contender.settled(block.start)

    def _experiment(self, block: MergedBlock, name: str, champion: str) -> None:
        contender = self._contender("experiment", name, champion, block)
        if contender is None:
            return
        own = [r["arms"][name] for r in block.records if name in r["arms"]]
        champions = [r["arms"][CHAMPION] for r in block.records if CHAMPION in r["arms"]]
        assert isinstance(contender.contest, AbTest)
        contender.price(sum(a["n"] for a in champions), sum(a["kpi"] for a in champions))
        missing = sum(a["predictions"] - a["n"] for a in (*own, *champions))
        contender.contest.update(_groups(own), _groups(champions), missing)
        contender.add(added(a["sums"] for a in own), added(a["sums"] for a in champions))
        _note_withheld(contender, block)
        contender.settled(block.start)

    # What a rule does.

    @property
    def deciding(self) -> Question:
        """The question that may decide: where answers act on outcomes, an experiment alone."""
        return "experiment" if self.use_case.contest.acts_on_outcome else "shadow"

    def _wish(self, block: MergedBlock) -> Proposal | None:
        """Return at most one command for a block, and none twice for one comparison."""
        if self.use_case.promotion.mode != "automatic" or self.unpriced:
            return None
        candidates = [c for (q, _), c in self.contenders.items() if q == self.deciding]
        candidates = [
            c for c in candidates if c.command_id is None and (c.blows_up or self._enough(c))
        ]
        best = [
            c for c in candidates if c.contest.verdict == "better" and self.forbidden(c) is None
        ]
        # One promotion, until another one answers: if it is refused, a person has to see to it.
        best = [] if self.promoting else best
        for contender in sorted(best, key=lambda c: (-c.contest.mean, c.model))[:1]:
            self.promoting = contender.model
            return self._command("promote", contender, block)
        bad = [
            c for c in candidates if c.runs_away or (c.is_worse and c.contest.not_promised is None)
        ]
        for contender in sorted(bad, key=lambda c: c.model)[:1]:
            verb = "drain" if self.deciding == "experiment" else "retire"
            return self._command(verb, contender, block)
        return None

    def _enough(self, contender: Contender) -> bool:
        return contender.contest.labelled >= self.use_case.promotion.after

    def forbidden(self, contender: Contender) -> str | None:
        """Return why it may not be promoted though it is better; None if it may."""
        after = self.use_case.promotion.after
        if not self._enough(contender):
            return f"{contender.contest.labelled} of {after} examples"
        if contender.contest.not_promised is not None:
            return f"not promised here: {contender.contest.not_promised}"
        return contender.guarded(self.use_case.promotion.guard)

    def _command(self, verb: str, contender: Contender, block: MergedBlock) -> Proposal:
        lower, upper = contender.contest.interval
        unit = self.use_case.kpi.unit
        known = sorted(self.began[contender.question, contender.model].items())
        began = [[partition, b.definition, *b.times] for partition, b in known]
        key = [self.use_case.name, verb, contender.model, contender.against, block.start, began]
        name = blake2b(orjson.dumps(key), digest_size=8).hexdigest()
        contender.command_id = f"decider-{verb}-{name}"
        why = (
            f"{contender.question}: gains {contender.contest.mean:.4g} {unit} a prediction over "
            f"{contender.against} ({lower:.4g} to {upper:.4g}, alpha "
            f"{contender.alpha:.2g}) on {contender.contest.labelled} examples in "
            f"{contender.contest.seen} blocks"
        )
        if contender.runs_away:
            why += f"; {contender.run_away}"
        return Proposal(verb, contender.model, contender.command_id, why, contender)


def _note_withheld(contender: Contender, block: MergedBlock) -> None:
    name, rows = contender.model, block.records
    values = sum(row["withheld"].get(name, 0) for row in rows)
    # What an older riverrun settled does not say it.
    diverged = sum(row.get("diverged", {}).get(name, 0) for row in rows)
    contender.note_withheld(values, diverged, sum(row["predictions"] for row in rows))


def _one(values: Iterable[str]) -> str | None:
    """Return the value on which all agree; None if they do not, or there are none."""
    distinct = set(values)
    return distinct.pop() if len(distinct) == 1 else None


def added(rows: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Return the sums by name, over partitions in their order."""
    total: dict[str, float] = {}
    for row in rows:
        for name, value in row.items():
            total[name] = total.get(name, 0.0) + value
    return total


def _groups(arms: list[Mapping[str, Any]]) -> list[tuple[int, float]]:
    """Return the groups of an arm over partitions: a unit has the same group on all of them."""
    return [
        (sum(n for n, _ in group), sum(kpi for _, kpi in group))
        for group in zip(*(arm["groups"] for arm in arms), strict=True)
    ]


def _beginning(record: Record, question: Question, name: str, champion: str) -> Beginning:
    times = [record["champion_since"], record["began"].get(name), record["began"].get(champion)]
    if question == "experiment":
        times.append(record["experiment_since"])
    return Beginning(record["definition"], [seconds(t) for t in times if t is not None])
