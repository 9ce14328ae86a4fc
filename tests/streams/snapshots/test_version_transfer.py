"""Versions of shared models as they travel: signed, and read by whoever has the key."""

from __future__ import annotations

from typing import Any

import pytest

from models.serving.model_slot import ModelSlot
from models.training.versions import VersionRef, label_of_version
from schemas.errors import Incompatible
from streams.snapshots.version_transfer import VersionReader, packer
from streams.unpickling.safe_unpickler import Allowed, unpickle
from tests.support.one_partition import use_case

LABEL = label_of_version("parcels", VersionRef("linear", "d1", 0, 3, 0, 0, None))


def _version(name: str, key: bytes) -> VersionRef:
    case = use_case(partitions=4, learning="shared")
    model = case.models[name]()
    for n in range(3):
        model.learn_one({"weight": float(n), "items": n}, 2.0 * n)
    return VersionRef(
        name, "d", 0, 3, 0, 0, packer(case, lambda: key)(ModelSlot(name, None, model), LABEL)
    )


@pytest.mark.parametrize("name", ["linear", "tree"])
def test_a_version_is_read_once_and_answers_the_same(name: str) -> None:
    """Numbers of a linear pipeline or a pickle; the second reader gets the same object."""
    case, version = use_case(), _version(name, b"k" * 32)
    read = VersionReader(case, lambda: b"k" * 32)
    slot = read(version, LABEL)
    assert read(version, LABEL) is slot
    model = case.models[name]()
    for n in range(3):
        model.learn_one({"weight": float(n), "items": n}, 2.0 * n)
    x = {"weight": 1.5, "items": 2}
    assert slot.model.predict_one(x) == model.predict_one(x)


@pytest.mark.parametrize("name", ["linear", "tree"])
def test_a_version_of_another_key_is_not_read(name: str) -> None:
    """Whoever may write to the topic may not thereby run code."""
    read = VersionReader(use_case(), lambda: b"k" * 32)
    with pytest.raises(Incompatible, match="RIVERRUN_SNAPSHOT_KEY"):
        read(_version(name, b"x" * 32), LABEL)
    with pytest.raises(Incompatible, match="RIVERRUN_SNAPSHOT_KEY"):
        read(_version(name, b"k" * 32), LABEL + b"!")


def test_a_seal_is_checked_once_for_all_partitions_of_a_process() -> None:
    """The same bytes are not hashed for each partition; equal ones in another object are."""
    asked: list[int] = []

    def key() -> bytes:
        asked.append(1)
        return b"k" * 32

    read, version = VersionReader(use_case(), key), _version("linear", b"k" * 32)
    for _ in range(3):
        read(version, LABEL)
    assert len(asked) == 1
    assert version.headers is not None
    copied = version._replace(headers=tuple((n, bytes(bytearray(v))) for n, v in version.headers))
    read(copied, LABEL)
    assert len(asked) == 2


def test_what_this_process_has_packed_itself_is_not_rehearsed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The same bytes need no look at what they could do; those of another process do."""
    rehearsed: list[bool] = []

    def noted(data: list[bytes], allowed: Allowed, *, rehearsed_before: bool) -> Any:
        rehearsed.append(not rehearsed_before)
        return unpickle(data, allowed, rehearsed=rehearsed_before)

    monkeypatch.setattr(
        "streams.snapshots.version_transfer.unpickle",
        lambda data, allowed, *, rehearsed: noted(data, allowed, rehearsed_before=rehearsed),
    )
    case = use_case(partitions=4, learning="shared")

    def key() -> bytes:
        return b"k" * 32

    read = VersionReader(case, key)
    slot = ModelSlot("tree", None, case.models["tree"]())
    own = VersionRef("tree", "d", 0, 0, 0, 0, packer(case, key, read)(slot, LABEL))
    for version in (own, _version("tree", b"k" * 32)):
        read(version, LABEL)
    assert rehearsed == [False, True]
