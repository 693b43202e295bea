"""What a checkpoint of a stage must hold before anything of it is used, and how model and optimiser take it up."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from scenewise.checkpoint import put_weights
from scenewise.errors import InputError
from scenewise.media.files import describe

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scenewise.models.contract import SceneModel

MOMENTS = {torch.optim.Adam: {"step", "exp_avg", "exp_avg_sq"}, torch.optim.RMSprop: {"step", "square_avg"}}
"""What optimisers keep of every weight."""

_LARGEST_STEP = 10**12
_NOT_ALWAYS = ("averaged", "waited")  # the second came later


def check_state(state: Any, step: int) -> None:
    """Check the fields of a checkpoint.

    Args:
        state: What was read.
        step: The step that the file's name tells.

    Raises:
        ValueError: A field is missing or of another type; or it is of another step.
    """
    if not isinstance(state, dict):
        raise ValueError(f"it holds {type(state).__name__} in place of a mapping")
    checks = {
        "step": lambda value: type(value) is int and 0 <= value < _LARGEST_STEP and value == step,
        "seconds": lambda value: _is_number(value) and 0 <= value < math.inf,
        "best": lambda value: _is_number(value) and not math.isnan(value),
        "model": _are_tensors,
        "averaged": _are_tensors,
        "optimizer": _is_optimizer,
        "waited": lambda value: type(value) is int and 0 <= value < _LARGEST_STEP,
        "trained": lambda value: isinstance(value, list) and all(isinstance(name, str) for name in value),
    }
    wrong = [name for name, check in checks.items() if name in state and not check(state[name])]
    missing = [name for name in checks if name not in state and name not in _NOT_ALWAYS]
    if wrong or missing:
        raise ValueError(f"fields are missing or not what they should be: {', '.join(missing + wrong)}")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _are_tensors(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(n, str) and isinstance(t, Tensor) for n, t in value.items())


def _is_optimizer(value: Any) -> bool:
    if not isinstance(value, dict) or not isinstance(value.get("state"), dict):
        return False
    groups, moments = value.get("param_groups"), value["state"].values()
    return (
        isinstance(groups, list)
        and all(isinstance(group, dict) and isinstance(group.get("params"), list) for group in groups)
        and all(_are_tensors(of_weight) for of_weight in moments)
    )


def take_up(state: Mapping[str, Any], model: SceneModel, optimizer: torch.optim.Optimizer, where: object) -> None:
    """Give a model and its optimiser what a checkpoint holds.

    Args:
        state: The checkpoint, checked by `check_state`.
        model: Where the weights go.
        optimizer: Where the moments go; its own settings stay.
        where: The checkpoint, for messages.

    Raises:
        InputError: Weights, averages or moments are not those of this model.
    """
    put_weights(model, state["model"], where)
    weights = dict(model.named_parameters())
    averages = state.get("averaged")
    if averages is not None and {n: t.shape for n, t in averages.items()} != {n: p.shape for n, p in weights.items()}:
        raise InputError(where, "averaged weights are not those of the model.", "Begin the run anew.")
    settings = [{k: v for k, v in group.items() if k != "params"} for group in optimizer.param_groups]
    try:
        optimizer.load_state_dict(state["optimizer"])
    except (ValueError, KeyError, TypeError, RuntimeError) as error:
        raise InputError(
            where, f"the optimiser's state does not fit: {describe(error)}.", "Begin the run anew."
        ) from error
    for group, own in zip(optimizer.param_groups, settings, strict=True):
        group.update(own)
    for weight, moments in optimizer.state.items():
        if not fits(moments, weight, optimizer):
            raise InputError(where, "the optimiser's moments do not fit the weights.", "Begin the run anew.")


def fits(moments: Mapping[str, Tensor], weight: Tensor, optimizer: torch.optim.Optimizer) -> bool:
    """Return whether moments are those an optimiser keeps of a weight; none at all are too."""
    if not moments:
        return True
    shapes = all(tensor.shape == weight.shape for tensor in moments.values() if tensor.ndim)
    return moments.keys() == MOMENTS[type(optimizer)] and shapes
