"""Which pipelines can be stepped at once: known by the exact types of their parts.

    [SelectType(Number) |] StandardScaler [+ SelectType(str) | OneHotEncoder] | linear model

in either order of the union, with LinearRegression or LogisticRegression without penalties, under
SGD, AdaGrad or Adam, any loss, any schedule. Adam moves every weight at every step, so it is
stepped on arrays (`dense`); of the others only the inputs that are not zero move (`sparse`).
"""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Number
from typing import Any

from river import compose, linear_model, optim, preprocessing

EPS_LEAST = 1e-20
_LINEAR = (linear_model.LinearRegression, linear_model.LogisticRegression)
_OPTIMIZERS = (optim.SGD, optim.AdaGrad, optim.Adam)


@dataclass(frozen=True, slots=True)
class PipelinePattern:
    """The parts of a known pipeline. `names_first`: one-hot inputs come before the numbers."""

    model: Any
    scaler: Any
    encoder: Any | None
    linear: Any
    names_first: bool

    @property
    def dense(self) -> bool:
        """Return True where every weight moves at every step."""
        return type(self.linear.optimizer) is optim.Adam


def shape_of(model: Any) -> PipelinePattern | None:
    """Return the pattern of `model`; None if it is none of those that are known."""
    if type(model) is not compose.Pipeline or len(model.steps) != 2:
        return None
    first, linear = model.steps.values()
    if not _is_plain(linear):
        return None
    if type(first) is compose.TransformerUnion:
        return _of_union(model, [*first.transformers.values()], linear)
    if not _is_scaler(first) or type(linear.optimizer) is optim.Adam:
        return None
    return PipelinePattern(model, first, None, linear, False)


def _of_union(model: Any, branches: list[Any], linear: Any) -> PipelinePattern | None:
    pairs = [_branch(branch) for branch in branches]
    by_types = {types: step for types, step in pairs if step is not None}
    if len(pairs) != 2 or set(by_types) != {(Number,), (str,)}:
        return None
    scaler, encoder = by_types[Number,], by_types[str,]
    if not _is_scaler(scaler) or not _is_encoder(encoder):
        return None
    if encoder.drop_zeros and type(linear.optimizer) is optim.Adam:
        return None
    # River puts the last branch of a union first.
    return PipelinePattern(model, scaler, encoder, linear, pairs[-1][0] == (str,))


def _branch(branch: Any) -> tuple[tuple[type, ...], Any]:
    if type(branch) is not compose.Pipeline or len(branch.steps) != 2:
        return (), None
    select, step = branch.steps.values()
    return (select.types, step) if type(select) is compose.SelectType else ((), None)


def _is_scaler(step: Any) -> bool:
    return type(step) is preprocessing.StandardScaler and step.window_size is None


def _is_encoder(step: Any) -> bool:
    plain = type(step) is preprocessing.OneHotEncoder and step.categories is None
    return plain and not step.drop_first


def _is_plain(linear: Any) -> bool:
    """Return True for no penalties, weights that begin at zero, and an optimizer that is known."""
    return (
        type(linear) in _LINEAR
        and type(linear.optimizer) in _OPTIMIZERS
        and type(linear.initializer) is optim.initializers.Zeros
        and linear.l1 == 0
        and linear.l2 == 0
        and _is_tame(linear.optimizer)
    )


def _is_tame(optimizer: Any) -> bool:
    """Return True if Adam's gradients and rates are such that its weights stay finite."""
    if type(optimizer) is not optim.Adam:
        return True
    betas = 0 < optimizer.beta_1 < 1 and 0 < optimizer.beta_2 < 1
    return bool(betas and optimizer.eps >= EPS_LEAST)
