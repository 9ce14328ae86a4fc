"""Pickles loaded by an exact list of names, and only ever after their signature holds.

A pickle is a program. What it can do is bounded by what it can name: `find_class` gives nothing but
the names here, those of `river_names.txt`, and those that the use case's own fresh models name.
Three that River's pickles need could reach further (`getattr`, `functools.partial`,
`copy.deepcopy`): `getattr` is replaced by one that gives methods of the listed classes only; the
other two call what they are given, which is on the list itself.

It is the second wall. Whoever can sign (see `streams.snapshots.sealed`) is trusted; this bounds
what a leaked key or a mistake in the first wall costs.
"""

from __future__ import annotations

import gc
import inspect
import io
import pickle
import sys
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from schemas.errors import Incompatible
from streams.loading import namespace_of, standing_in
from streams.snapshots import river_names

Name = tuple[str, str]

FRAMES_ASIDE = 64

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
    "river.feature_extraction.vectorize": "strip_accents_unicode tokenize_using_regex_pattern",
    "river.forest.online_extra_trees": "ExtraTrees._detection_mode_all "
    "ExtraTrees._detection_mode_drop ExtraTrees._detection_mode_off",
    "river.metrics.mutual_info": "_average_arithmetic _average_geometric _average_max _average_min",
    "river.naive_bayes.gaussian": "GaussianNB._make_gaussian",
    "river.tree.splitter.ebst_splitter": "EBSTNode._update_estimator_multivariate "
    "EBSTNode._update_estimator_univariate",
    "river.tree.splitter.nominal_splitter_reg": "NominalSplitterReg._update_estimator_multivariate "
    "NominalSplitterReg._update_estimator_univariate",
    "river.utils.math": "minkowski_distance",
}
_OURS = {
    "models.bounds": "Bounds",
    "models.earning": "Earning",
    "models.assignment": "Drawn",
    "models.estimators": "SettledSelect",
    "models.evidence.alpha_budget": "AlphaBudget",
    "models.evidence.arrivals": "Arrivals",
    "models.evidence.block_summary": "CategorySummary MeanSummary MissingSummary NumericSummary",
    "models.evidence.breaker": "Breaker Usual",
    "models.evidence.confidence_sequence": "Comparison Spread StrictCapital Wager",
    "models.evidence.conformal": "IntervalTracker Offsets SetTracker",
    "models.evidence.contributions": "Means",
    "models.evidence.drift": "DriftMonitor Watch",
    "models.evidence.maturity": "DelayCurve",
    "models.evidence.mean_detector": "MeanDetector",
    "models.evidence.permutation_importance": "PermutationImportance",
    "models.evidence.rank_detector": "RankDetector",
    "models.heirs": "Heir",
    "models.slot": "Slot",
    "models.tally": "Cell",
    "models.packing": "Waiting",
}


def _names(*tables: Mapping[str, str]) -> frozenset[Name]:
    return frozenset(
        (module, name)
        for table in tables
        for module, names in table.items()
        for name in names.split()
    )


EVERYBODY = _names(_PLAIN, _RIVER_FUNCTIONS, _OURS) | river_names.read()


class Refused(Incompatible):
    """A pickle that names what is not on the list, or that cannot be read."""


class Allowed:
    """The names that the snapshots of one use case may hold: `factories` are its models, `module`
    is where they were written.
    """

    def __init__(self, factories: Iterable[Callable[[], Any]] = (), module: str | None = None):
        makes = list(factories)
        self._own: Mapping[str, Any] = {}
        self._module = module
        names = set(EVERYBODY)
        if module is not None:
            own = self._own = namespace_of(module, makes)
            names.update(
                (module, value.__qualname__)
                for value in own.values()
                if inspect.isclass(value) and value.__module__ == module
            )
            with standing_in(module, own):
                for make in makes:
                    names.update(names_in(pickle.dumps(make(), pickle.HIGHEST_PROTOCOL)))
        self.names = frozenset(names - {("builtins", "getattr")})

    def find(self, module: str, name: str) -> Any:
        """The object of that name; raises `Refused` for any other."""
        if (module, name) == ("builtins", "getattr"):
            return self._method
        if (module, name) not in self.names:
            raise Refused(
                f"a snapshot names {module}.{name}, which none of this use case's may: it is not "
                "loaded"
            )
        found = None if module == self._module else _imported(module)
        for part in name.split("."):
            found = self._own[part] if found is None else getattr(found, part)
        return found

    def _method(self, owner: Any, name: str) -> Any:
        kind = owner if inspect.isclass(owner) else type(owner)
        name_of = (kind.__module__, kind.__qualname__)
        known = name_of in self.names and kind.__module__ not in _NO_METHODS
        if owner is str and name == "lower":
            return str.lower
        found = inspect.getattr_static(kind, name, None) if known and type(name) is str else None
        if type(found) not in _METHODS or (name.startswith("__") and name not in _DUNDERS):
            raise Refused(f"a snapshot asks {kind.__qualname__} for {name!r}: it is not loaded")
        return getattr(owner, name)


_METHODS = (
    types.FunctionType,
    types.MethodDescriptorType,
    types.WrapperDescriptorType,
    staticmethod,
    classmethod,
)
_NO_METHODS = ("builtins", "datetime", "functools", "numpy")
_DUNDERS = ("__getitem__", "__contains__", "__len__", "__call__")


def _imported(module: str) -> types.ModuleType:
    __import__(module)
    return sys.modules[module]


def unpickle(data: Sequence[bytes | memoryview], allowed: Allowed) -> Any:
    """Load one pickle, given in pieces. Raises `Refused`, whatever is wrong with it.

    It is read through a file of Python's own, so that in a thread it lets others run at every
    frame (64 kB): a forest of 100 MB would hold the interpreter for seconds.
    """
    try:
        return _Unpickler(_Frames(data), allowed).load()
    except Refused:
        raise
    except Exception as error:  # whatever a broken program raises
        raise Refused(f"a snapshot cannot be read: {type(error).__name__}: {error}") from error


def names_in(data: bytes) -> set[Name]:
    """The names in a trusted pickle of this process's own."""
    spy = _Spy(io.BytesIO(data))
    spy.load()
    return spy.names


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: Any, allowed: Allowed) -> None:
        super().__init__(file)
        self._allowed = allowed

    def find_class(self, module: str, name: str) -> Any:
        return self._allowed.find(module, name)


class _Spy(pickle.Unpickler):
    def __init__(self, file: Any) -> None:
        super().__init__(file)
        self.names: set[Name] = set()

    def find_class(self, module: str, name: str) -> Any:
        self.names.add((module, name))
        return super().find_class(module, name)


class _Frames:
    def __init__(self, pieces: Sequence[bytes | memoryview]) -> None:
        self._rest = [memoryview(piece) for piece in reversed(pieces)]
        self._frames = 0

    def read(self, size: int) -> bytes:
        self._breathe()
        found = self._some(size)
        while len(found) < size and self._rest:
            found += self._some(size - len(found))
        return found

    def readinto(self, into: Any) -> int:
        found = self.read(len(into))
        into[: len(found)] = found
        return len(found)

    def readline(self) -> bytes:
        found = b""
        while self._rest and not found.endswith(b"\n"):
            found += self._some(1)
        return found

    def _some(self, size: int) -> bytes:
        if not self._rest:
            return b""
        piece = self._rest.pop()
        if len(piece) > size:
            self._rest.append(piece[size:])
        return bytes(piece[:size])

    def _breathe(self) -> None:
        # What a large pickle makes is set aside as it comes: see streams.garbage.
        self._frames += 1
        if self._frames % FRAMES_ASIDE == 0:
            gc.freeze()
