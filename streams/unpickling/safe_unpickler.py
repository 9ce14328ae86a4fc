"""Pickles loaded by an exact list of names, and only ever after their signature holds.

A pickle is a program. What it can name is bounded: `find_class` gives nothing but the names here,
those of `river_allowlist.txt`, and those that the use case's own fresh models name. What it can do
with them is bounded by a rehearsal with stand-ins (`streams.unpickling.pickle_dry_run`), which runs
it to its end before anything real is made.

It is the second wall. Whoever can sign (see `streams.snapshots.signed_format`) is trusted; this
bounds what a leaked key or a mistake in the first wall costs.
"""

from __future__ import annotations

import gc
import inspect
import io
import pickle
import sys
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

from schemas.errors import Incompatible
from streams.config.use_case_loader import namespace_of, standing_in
from streams.unpickling import river_allowlist
from streams.unpickling.pickle_dry_run import METHODS, Forbidden, StandIns, check_method, written_as

Name = tuple[str, str]

FRAMES_ASIDE = 64
GETATTR = ("builtins", "getattr")

_PLAIN = {
    "builtins": "bool bytearray complex dict float frozenset int iter list range set slice str "
    "tuple",
    "collections": "Counter OrderedDict defaultdict deque",
    "copy": "deepcopy",
    "datetime": "date datetime time timedelta timezone",
    "functools": "partial",
    "numpy": "array dtype float64 int64 ndarray ones",
    "numpy._core.multiarray": "_reconstruct scalar",
    "numpy._core.numeric": "_frombuffer",
    "numpy.random._generator": "Generator",
    "numpy.random._mt19937": "MT19937",
    "numpy.random._pcg64": "PCG64 PCG64DXSM",
    "numpy.random._philox": "Philox",
    "numpy.random._pickle": "__bit_generator_ctor __generator_ctor __randomstate_ctor",
    "numpy.random._sfc64": "SFC64",
    "numpy.random.bit_generator": "SeedSequence __pyx_unpickle_SeedSequence",
    "random": "Random",
    "statistics": "NormalDist",
}
_RIVER_FUNCTIONS = {
    "river._river_rust.vectordict": "euclidean_distance_dict euclidean_distance_tuple",
    "river.feature_extraction.vectorize": "find_all_ngrams remove_stop_words "
    "strip_accents_unicode tokenize_using_regex_pattern",
    "river.forest.online_extra_trees": "ExtraTrees._detection_mode_all "
    "ExtraTrees._detection_mode_drop ExtraTrees._detection_mode_off",
    "river.metrics.mutual_info": "_average_arithmetic _average_geometric",
    "river.naive_bayes.gaussian": "GaussianNB._make_gaussian",
    "river.tree.splitter.ebst_splitter": "EBSTNode._update_estimator_multivariate "
    "EBSTNode._update_estimator_univariate",
    "river.tree.splitter.nominal_splitter_reg": "NominalSplitterReg._update_estimator_multivariate "
    "NominalSplitterReg._update_estimator_univariate",
    "river.utils.math": "minkowski_distance",
}
_OURS = {
    "models.serving.learned_limits": "LearnedLimits",
    "models.serving.segment_promotion": "OpenBlock SegmentPromotion",
    "models.spec.experiment_arms": "Drawn",
    "models.serving.river_models": "SettledSelect",
    "models.stats.alpha_spending": "AlphaSpending",
    "models.stats.label_outage": "Arrivals",
    "models.stats.block_histograms": "CategorySummary NumericSummary",
    "models.stats.block_totals": "MeanSummary MissingSummary VolumeSummary",
    "models.stats.breaker_rules": "Breaker Difference Usual UsualSize",
    "models.stats.betting": "Spread StrictCapital Wager",
    "models.stats.confidence_sequence": "Comparison",
    "models.stats.adaptive_conformal": "IntervalTracker Offsets SetTracker",
    "models.stats.running_mean": "GroupSquares LossSkew RunningMean",
    "models.attribution.contributions": "Means",
    "models.stats.drift_detection": "DriftMonitor Watch",
    "models.stats.kaplan_meier": "DelayCurve",
    "models.stats.mean_shift": "MeanDetector",
    "models.attribution.permutation_importance": "PermutationImportance",
    "models.stats.rank_shift": "NewestRanks RankDetector SmallRanks",
    "models.serving.replacement": "ShadowReplacement",
    "models.serving.model_slot": "ModelSlot",
    "models.metrics.exact_amount": "ExactAmount",
    "models.metrics.issued_predictions": "IssuedPredictions",
    "models.metrics.windowed_metrics": "MetricCell",
    "models.pending.codec": "PendingPrediction",
}


def _names(*tables: Mapping[str, str]) -> frozenset[Name]:
    return frozenset(
        (module, name)
        for table in tables
        for module, names in table.items()
        for name in names.split()
    )


EVERYBODY = _names(_PLAIN, _RIVER_FUNCTIONS, _OURS) | river_allowlist.read()


class RefusedPickle(Incompatible):
    """A pickle that names what is not on the list, or that cannot be read."""


class Allowed:
    """The names that the snapshots of one use case may hold: `factories` are its models, `module`
    is where they were written.
    """

    def __init__(self, factories: Iterable[Callable[[], Any]] = (), module: str | None = None):
        makes = list(factories)
        self._own: Mapping[str, Any] = {}
        self._module = module
        names, called, methods = set(EVERYBODY), set[Name](), set(METHODS)
        if module is not None:
            own = self._own = namespace_of(module, makes)
            names.update(
                (module, value.__qualname__)
                for value in own.values()
                if inspect.isclass(value) and value.__module__ == module
            )
            with standing_in(module, own):
                for make in makes:
                    fresh = _Spy(pickle.dumps(make(), pickle.HIGHEST_PROTOCOL))
                    names |= fresh.names
                    called |= fresh.called
                    methods |= fresh.methods
        self.names = frozenset(names - {GETATTR})
        self._methods = frozenset(methods)
        self._stand_ins = StandIns(self._methods, called)

    def stand_in(self, module: str, name: str) -> Any:
        """Return what stands in for a name in a rehearsal; raise `RefusedPickle` as `find` does."""
        return self._stand_ins.of(module, name, self.find(module, name))

    def find(self, module: str, name: str) -> Any:
        """Return the object of that name; raise `RefusedPickle` for any other."""
        if (module, name) == GETATTR:
            return self._method
        if (module, name) not in self.names:
            raise RefusedPickle(
                f"a snapshot names {module}.{name}, which none of this use case's may: it is not "
                "loaded"
            )
        target = None if module == self._module else _imported(module)
        for part in name.split("."):
            target = self._own[part] if target is None else getattr(target, part)
        return target

    def _method(self, owner: Any, name: str) -> Any:
        if owner is not str or name != "lower":
            check_method(type(owner), name, self._methods)
        return getattr(owner, name)


def _imported(module: str) -> types.ModuleType:
    __import__(module)
    return sys.modules[module]


def unpickle(
    data: Sequence[bytes | memoryview], allowed: Allowed, *, rehearsed: bool = False
) -> Any:
    """Load one pickle, given in pieces. Raises `RefusedPickle`, whatever is wrong with it.

    It is rehearsed first, which takes about as long again; `rehearsed`: not that, since this
    process has written the same bytes itself. It is read through a file of Python's
    own, so that in a thread it lets others run at every frame (64 kB): a forest of 100 MB would
    hold the interpreter for seconds.
    """
    try:
        if not rehearsed:
            _Unpickler(_Frames(data), allowed.stand_in).load()
        return _Unpickler(_Frames(data), allowed.find).load()
    except RefusedPickle:
        raise
    except Forbidden as error:
        raise RefusedPickle(f"a snapshot is not loaded: {error}.") from error
    except Exception as error:  # whatever a broken program raises
        raise RefusedPickle(
            f"a snapshot cannot be read: {type(error).__name__}: {error}"
        ) from error


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: Any, find: Callable[[str, str], Any]) -> None:
        super().__init__(file)
        self._find = find

    def find_class(self, module: str, name: str) -> Any:
        return self._find(module, name)


_InPython: Any = pickle._Unpickler


class _Spy(_InPython):  # type: ignore[misc]  # it is not typed
    """What a trusted pickle of this process's own names, calls, and which methods it holds."""

    dispatch: ClassVar[dict[int, Any]] = dict(_InPython.dispatch)

    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data))
        self.names: set[Name] = set()
        self.called: set[Name] = set()
        self.methods: set[Name] = set()
        self._of: dict[int, Name] = {}
        self.load()

    def find_class(self, module: str, name: str) -> Any:
        self.names.add((module, name))
        target = super().find_class(module, name)
        self._of[id(target)] = module, name
        return target

    def load_reduce(self) -> None:
        call, args = self.stack[-2:]
        name = self._of.get(id(call))
        if name == GETATTR and (written := written_as(type(args[0]), args[1])) is not None:
            self.methods.add(written)
        elif name is not None:
            self.called.add(name)
        super().load_reduce()

    dispatch[pickle.REDUCE[0]] = load_reduce


class _Frames:
    def __init__(self, pieces: Sequence[bytes | memoryview]) -> None:
        self._rest = [memoryview(piece) for piece in reversed(pieces)]
        self._frames = 0

    def read(self, size: int) -> bytes:
        self._breathe()
        data = self._some(size)
        while len(data) < size and self._rest:
            data += self._some(size - len(data))
        return data

    def readinto(self, into: Any) -> int:
        data = self.read(len(into))
        into[: len(data)] = data
        return len(data)

    def readline(self) -> bytes:
        line = b""
        while self._rest and not line.endswith(b"\n"):
            line += self._some(1)
        return line

    def _some(self, size: int) -> bytes:
        if not self._rest:
            return b""
        piece = self._rest.pop()
        if len(piece) > size:
            self._rest.append(piece[size:])
        return bytes(piece[:size])

    def _breathe(self) -> None:
        # What a large pickle makes is set aside as it comes: see streams.config.gc_tuning.
        self._frames += 1
        if self._frames % FRAMES_ASIDE == 0:
            gc.freeze()
