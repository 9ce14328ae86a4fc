from __future__ import annotations

import builtins
import copy
import functools
import importlib
import inspect
import os
import pickle
import pkgutil
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import river
from river import base, compose, linear_model, preprocessing

from models.task.checkpoint import parts_of
from streams.unpickling import river_allowlist, safe_unpickler
from streams.unpickling.safe_unpickler import Allowed, RefusedPickle, unpickle
from tests.support.one_partition import Partition, linear, use_case

ALLOWED = Allowed()


class Reduced:
    """Pickles as a call."""

    def __init__(self, call: Any, *args: Any, state: Any = None) -> None:
        self.how = (call, args) if state is None else (call, args, state)

    def __reduce__(self) -> Any:
        """The call."""
        return self.how


def by_name(module: str, name: str, *args: str) -> bytes:
    """A pickle that calls module.name with texts, written by hand."""
    texts = b"".join(pickle.SHORT_BINUNICODE + bytes([len(g)]) + g.encode() for g in args)
    return (
        b"\x80\x04"
        + b"".join(pickle.SHORT_BINUNICODE + bytes([len(t)]) + t.encode() for t in (module, name))
        + pickle.STACK_GLOBAL
        + b"("
        + texts
        + b"tR."
    )


HOSTILE = {
    "os.system": pickle.dumps(Reduced(os.system, "touch hacked")),
    "posix.system": by_name("posix", "system", "touch hacked"),
    "eval": pickle.dumps(Reduced(eval, "open('hacked', 'w')")),
    "exec": pickle.dumps(Reduced(exec, "open('hacked', 'w')")),
    "old protocol": b"cos\nsystem\n(S'touch hacked'\ntR.",
    "inst": b"(S'touch hacked'\nios\nsystem\n.",
    "import_module": pickle.dumps(Reduced(importlib.import_module, "os")),
    "__import__": pickle.dumps(Reduced(builtins.__import__, "os")),
    "open": pickle.dumps(Reduced(open, "hacked", "w")),
    "rmtree": pickle.dumps(Reduced(shutil.rmtree, "hacked")),
    "Popen": pickle.dumps(Reduced(subprocess.Popen, ["touch", "hacked"])),
    "partial of system": pickle.dumps(Reduced(functools.partial(os.system, "touch hacked"))),
    "deepcopy of it": pickle.dumps(Reduced(copy.deepcopy, Reduced(os.system, "touch hacked"))),
    "getattr of a function": pickle.dumps(Reduced(getattr, linear, "__globals__")),
    "getattr of a class": pickle.dumps(Reduced(getattr, linear_model.PAClassifier, "__init__")),
    "getattr of a method": pickle.dumps(Reduced(getattr, linear_model.PAClassifier.learn_one, "x")),
    "getattr of text": pickle.dumps(Reduced(getattr, "x", "format")),
    "getattr of a dict": pickle.dumps(Reduced(getattr, {}, "__class__")),
    "subclasses": pickle.dumps(Reduced(getattr, Reduced(getattr, (), "__class__"), "mro")),
    "dotted": by_name("models.serving.model_slot", "Slot.learn.__globals__"),
    "dotted to a module": by_name("streams.unpickling.safe_unpickler", "sys.modules"),
    "module of ours": by_name("models.serving.model_slot", "annotations"),
    "a class of ours that is no state": by_name("models.task.partition_task", "PartitionTask"),
    "settings": by_name("streams.config.settings", "Settings"),
    "river's dataset": by_name("river.datasets.phishing", "Phishing"),
    "river's stream": by_name("river.stream.iter_csv", "iter_csv", "/etc/passwd"),
    "river's import": by_name("river.compose.pipeline", "os"),
    "type": pickle.dumps(Reduced(type, "X", (), {})),
    "object's reduce": by_name("copyreg", "_reconstructor"),
    "a pickle in a pickle": pickle.dumps(Reduced(pickle.loads, b"cos\nsystem\n(S'x'\ntR.")),
    "operator": by_name("operator", "attrgetter", "system"),
    "numpy file": by_name("numpy", "load", "hacked"),
    "code": by_name("types", "CodeType"),
    "extension": b"\x80\x02\x82\x01.",
    "persistent id": b"\x80\x04Phacked\n.",
    "garbage": b"\x80\x05\xff\xff\xff",
    "cut off": pickle.dumps(linear(), 5)[:-20],
    "empty": b"",
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_pickle_does_nothing(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused, and no file was made, no process started, nothing imported."""
    monkeypatch.chdir(tmp_path)
    for name in ("system", "popen"):
        monkeypatch.setattr(os, name, lambda *_: Path("hacked").touch())
    with pytest.raises(RefusedPickle):
        unpickle([HOSTILE[what]], ALLOWED)
    assert not list(tmp_path.iterdir())


def test_a_state_that_replaces_a_method_reaches_nothing_new() -> None:
    """BUILD can set attributes: of what is on the list, to what is on the list."""
    state = {"learn_one": os.system}
    data = pickle.dumps(Reduced(linear_model.LinearRegression, state=state))
    with pytest.raises(RefusedPickle):
        unpickle([data], ALLOWED)


def test_the_list_is_that_of_the_installed_river() -> None:
    """Another River: `python -P -m streams.unpickling.river_allowlist`, and read the difference."""
    assert "\n".join(river_allowlist.installed()) + "\n" == river_allowlist.FILE.read_text()


def _estimators() -> Iterator[tuple[str, type[Any], dict[str, Any]]]:
    seen = set()
    for module in pkgutil.walk_packages(river.__path__, "river.", onerror=lambda name: None):
        if ".test_" in module.name or river_allowlist._left_out(module.name):
            continue
        for value in vars(importlib.import_module(module.name)).values():
            if inspect.isclass(value) and issubclass(value, base.Base) and value not in seen:
                seen.add(value)
                if inspect.isabstract(value) or not value.__module__.startswith("river."):
                    continue
                for params in list(getattr(value, "_unit_test_params", lambda: ())()) or [{}]:
                    yield value.__module__.split(".")[1], value, params


def _trained(kind: type[Any], params: dict[str, Any], texts: bool) -> Any:
    draw = random.Random(1)
    model = kind(**params)
    for _ in range(200):
        x: dict[str, Any] = {f"f{k}": draw.random() for k in range(3)}
        y = x["f0"] > 0.5 if isinstance(model, base.Classifier) else x["f0"] * 10
        if texts:
            x["c"] = draw.choice("abc")
        if isinstance(model, base.Classifier | base.Regressor):
            model.predict_one(x)
            model.learn_one(x, y)
        elif hasattr(model, "learn_one"):
            model.learn_one(x)
    return model


@pytest.mark.slow
def test_every_family_of_river_can_be_loaded_again() -> None:
    """All estimators that can be made without arguments, trained on numbers and on texts."""
    families: dict[str, int] = {}
    for family, kind, params in _estimators():
        for texts in (False, True):
            try:
                model = _trained(kind, params, texts)
                data = pickle.dumps(model, 5)
            except Exception:  # not every estimator takes these examples
                continue
            unpickle([data], ALLOWED)
            families[family] = families.get(family, 0) + 1
    assert len(families) >= 25, sorted(families)
    assert sum(families.values()) > 300
    learners = {"linear_model", "tree", "forest", "ensemble", "preprocessing", "naive_bayes"}
    assert learners | {"neighbors", "rules", "facto", "anomaly", "drift", "optim"} <= set(families)


def test_all_of_a_partitions_state_can_be_loaded_again() -> None:
    """Every part that a task has, once it has had time to have all: drift, breaker, segments."""
    feed = Partition(use_case(interval=0.9, window=600.0, max_jump=1e9))
    draw = random.Random(2)
    for n in range(600):
        feed.event(f"e{n}", n * 30.0, items=draw.randint(1, 3), weight=draw.random())
        feed.outcome(f"e{n}", n * 30.0 + 10, draw.random())
    for name, part in parts_of(feed.task).items():
        data = pickle.dumps(part, 5)
        unpickle([data], ALLOWED), name


def double(x: dict[str, Any]) -> dict[str, Any]:
    """A function of an author's own."""
    return {name: 2 * value for name, value in x.items()}


class Mine(linear_model.LinearRegression):  # type: ignore[misc]  # River ships no types
    """An estimator of an author's own."""


def test_what_the_use_case_declares_is_allowed_and_nothing_else_of_its_file() -> None:
    """An author's functions in a model, and classes of the file; not its other functions."""

    def make() -> Any:
        return compose.FuncTransformer(double) | preprocessing.StandardScaler() | Mine()

    allowed = Allowed([make], __name__)
    unpickle([pickle.dumps(make(), 5)], allowed)
    with pytest.raises(RefusedPickle):
        unpickle([pickle.dumps(make(), 5)], ALLOWED)
    with pytest.raises(RefusedPickle):
        unpickle([by_name(__name__, "by_name", "os", "system")], allowed)
    assert sys.modules[__name__].__dict__["Mine"] is Mine


def test_pieces_are_read_as_one() -> None:
    """Cut anywhere, it is the same pickle."""
    what = [{f"key {n}": float(n)} for n in range(200)] + [b"x" * 200_000]
    data = pickle.dumps(what, 5)
    for size in (1_000, 70_001, len(data) // 2):
        pieces = [data[start : start + size] for start in range(0, len(data), size)]
        assert unpickle(pieces, ALLOWED) == what


def test_every_name_of_ours_that_a_snapshot_may_hold_exists():
    """A class that was renamed is on the list under its new name."""
    for module, name in safe_unpickler.EVERYBODY:
        if module.startswith(("models.", "schemas.")):
            assert hasattr(importlib.import_module(module), name), f"{module}.{name}"
