"""A worker's start: what River brings and nobody calls is not imported, and works all the same."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import sys
import streams.cli.run.worker, streams.worker.launch
names = "pandas", "sklearn", "scipy.optimize", "scipy.special", "scipy.ndimage"
heavy = [name for name in names if name in sys.modules]
assert not heavy, heavy

from river import drift, linear_model, preprocessing, proba, tree
import random
rng = random.Random(3)
ks, found = drift.KSWIN(seed=1), []
for n in range(600):
    ks.update(rng.random() + (n > 300))
    found.append(ks.drift_detected)
bell = proba.MultivariateGaussian(seed=1)
sgt = tree.SGTRegressor(delta=0.01, grace_period=20)
for n in range(400):
    x = {"a": rng.random(), "b": rng.random()}
    bell.update(x)
    sgt.learn_one(x, 3 * x["a"])
x = {"a": 0.4, "b": 0.6}
print(found.index(True), bell(x), bell.cdf(x), sgt.predict_one(x))
beta, clicks = proba.Beta(3, 2), linear_model.AdPredictor()
soft, topics = linear_model.SoftmaxRegression(), preprocessing.LDA(n_components=2, seed=4)
for n in range(50):
    clicks.learn_one(x, n % 3 == 0)
    soft.learn_one(x, "abc"[n % 3])
    topics.learn_one({"late": 1 + n % 4, "gate": 2})
print(beta.cdf(0.3), clicks.predict_proba_one(x), soft.predict_proba_one(x))
print(topics.transform_one({"late": 1}))
import scipy.stats
assert scipy.stats.norm.cdf(0) == 0.5
assert isinstance(scipy.stats.norm, scipy.stats.rv_continuous)
"""


def _answer(script: str) -> str:
    done = subprocess.run(
        [sys.executable, "-P", "-c", script],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_worker_starts_without_what_nobody_calls() -> None:
    """Neither pandas nor scikit-learn nor SciPy's optimisers are imported by it, and River's
    models that use `scipy.stats` say the same numbers as with River imported as it comes.
    """
    as_it_comes = "import scipy.stats, river.stream.iter_sklearn\n" + SCRIPT.replace(
        "assert not heavy", "assert heavy"
    )
    result = _answer(SCRIPT)
    assert result
    assert result == _answer(as_it_comes)
