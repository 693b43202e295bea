"""Settings of models that had other names: one table, by which all that was written with them is still read.

In format 1 of model folders a model's settings were flat: `decoder_channels`, `lds_weight`. In format 2 decoders,
encoders and the prior against duplicates had groups, in format 3 inputs of refinement networks, budgets of refinements,
priors and predictions too. Older folders, recipes and settings of runs that were begun then, and words on the command
line go through `current`.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from scenewise.config import merge
from scenewise.errors import RenamedSettingWarning

if TYPE_CHECKING:
    from collections.abc import Mapping

_DUPLICATES = {"lds_weight": "duplicates.weight", "lds_on": "duplicates.on", "lds_sigma": "duplicates.sigma"}
_BUDGET = {
    "most_refinements": "budget.most",
    "gradient_decodes": "budget.gradient_decodes",
    "extra_refinements": "budget.extra",
}
_REFINING = (
    _DUPLICATES
    | _BUDGET
    | {
        "likelihood_inputs": "inputs.likelihood",
        "decoder": "decoder.kind",
        "decoder_channels": "decoder.channels",
        "decoder_factor": "decoder.factor",
        "encoder": "encoder.kind",
        "encoder_channels": "encoder.channels",
        "encoder_pooling": "encoder.pooling",
        "code": "encoder.code",
        "groups": "decoder.groups encoder.groups",
    }
)
_VIDEO = {
    "first_looks": "budget.first_looks",
    "grid": "budget.grid",
    "trailing_refinement": "budget.trailing",
    "leave_one_out": "inputs.left_out",
    "mask_posterior": "inputs.mask_posterior",
    "mask_gradient": "inputs.mask_gradient",
    "prev_frame": "inputs.previous_frame",
    "pretrained_features": "inputs.pretrained_features",
    "conditional_prior": "prior.conditional",
    "prior_scale": "prior.scale",
    "predict_z": "prediction.latent",
    "predict_readout": "prediction.readout",
}
_IODINE = _REFINING | {
    "mask_gradient": "inputs.mask_gradient",
    "inputs_left_out": "inputs.left_out",
    "coordinate_inputs": "inputs.coordinates",
    "decoder_kernel": "decoder.kernel",
    "decoder_profiles": "decoder.profiles",
    "encoder_layers": "encoder.layers",
    "encoder_kernel": "encoder.kernel",
    "encoder_stride": "encoder.stride",
    "code_layers": "encoder.code_layers",
    "code_linear": "encoder.code_linear",
}
_AUTOENCODER = {
    "decoder": "decoder.kind",
    "decoder_channels": "decoder.channels",
    "decoder_profiles": "decoder.profiles",
    "decoder_groups": "decoder.groups",
    "encoder_channels": "encoder.channels",
}
_GATED = {"gated_channels": "gated.channels", "gated_strides": "gated.strides", "norm": "gated.norm"}

RENAMED: dict[str, dict[str, str]] = {
    "provide": _REFINING | _VIDEO,
    "provide-windows": {**_BUDGET, **_VIDEO, "likelihood_inputs": "inputs.likelihood"},
    "iodine": _IODINE,
    "seq-iodine": _IODINE,
    "mulmon": {
        **_REFINING,
        "decoder_profiles": "decoder.profiles",
        "projection": "projection.hidden",
        "products": "projection.products",
        "residual": "projection.residual",
        "min_observed": "views.least",
        "max_observed": "views.most",
        "queries": "views.queries",
        "refine_viewpoint": "inputs.viewpoint",
    },
    "monet": {
        **_DUPLICATES,
        **_AUTOENCODER,
        "activation": "encoder.activation decoder.activation",
        "encoder": "encoder.kind",
        "encoder_padding": "encoder.padding",
        "encoder_pooling": "encoder.pooling",
        "encoder_groups": "encoder.groups",
        "code": "encoder.hidden",
        "decoder_factor": "decoder.factor",
        "decoder_colour": "decoder.colour",
    },
    "genesis": {**_DUPLICATES, **_AUTOENCODER, **_GATED, "code": "encoder.hidden"},
    "genesis-v2": _DUPLICATES,
    "vae": {
        **_AUTOENCODER,
        **_GATED,
        "encoder": "encoder.kind",
        "encoder_layers": "encoder.layers",
        "code": "encoder.code",
        "decoder_kernel": "decoder.kernel",
    },
}
"""By model: old name of a setting to its name today; two, with a space, where each of two groups has it now."""

VALUES: dict[tuple[str, str], tuple[tuple[Any, Any], ...]] = {
    ("monet", "decoder.kind"): (("broadcast", "unpadded"),),
    ("genesis", "decoder.kind"): (("broadcast", "unpadded"),),
    ("vae", "encoder.kind"): (("pooled", "gap"),),
    ("provide", "inputs.left_out"): ((True, []), (False, ["leave_one_out"])),
    ("provide-windows", "inputs.left_out"): ((True, []), (False, ["leave_one_out"])),
}
"""By model and name of today: old values with the values of today, where these changed too."""

LATER = {"dvip": {"owned_weight"}, "provide-windows": {"windows.dynamics", "windows.hues"}}
"""By model: settings that came later, of groups without old names too; the default leaves models those of before."""


def current(model: str, values: Mapping[str, Any], where: str | None = None) -> dict[str, Any]:
    """Return plain settings of a model, all or some, under their names of today.

    Args:
        model: Registered name of the model.
        values: Plain settings under names of any time.
        where: What stands before a setting's name where the values come from, such as `model.settings.`, so that a
            warning tells the new name of each old one; None for no warnings.
    """
    result: dict[str, Any] = {}
    for key, value in values.items():
        names = "" if hasattr(value, "items") else RENAMED.get(model, {}).get(key, "")  # `decoder` is a group today
        targets = {}
        for name in names.split():  # a value may have another name today, too
            values_today = VALUES.get((model, name), ())
            targets[name] = next((new for old, new in values_today if old == value), value)
        for name, new in targets.items():
            group, _, field = name.partition(".")
            result = merge(result, {group: {field: new}})
        if not targets:
            result = merge(result, {key: value})
        elif where is not None:
            words = " and ".join(f"{where}{name}={new}" for name, new in targets.items())
            warnings.warn(f"{where}{key}={value} is now written {words}", RenamedSettingWarning, stacklevel=2)
    return result


def original(model: str, settings: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return all plain settings of a model as they were before they were renamed, by which models are told apart.

    A setting that has no old name is left out where it is the default: models that were saved before it was there are
    the same models.

    Args:
        model: Registered name of the model.
        settings: Under their names of today.
        defaults: Those of the model's settings class.
    """
    renamed = {key: names.split() for key, names in RENAMED.get(model, {}).items()}
    groups = {name.partition(".")[0] for names in renamed.values() for name in names}
    nested = {f"{g}.{key}": value for g in sorted(groups & settings.keys()) for key, value in settings[g].items()}
    settings = _without_later(model, settings, defaults)
    flat = {key: value for key, value in settings.items() if key not in groups}
    default = {f"{g}.{key}": value for g in groups & defaults.keys() for key, value in defaults[g].items()}
    for key, (name, *copies) in renamed.items():
        if name not in nested:
            continue
        value = nested[name]
        flat[key] = next((old for old, new in VALUES.get((model, name), ()) if new == value), value)
        default |= dict.fromkeys(copies, value)
    old = {name for name, *_ in renamed.values()}
    return flat | {name: value for name, value in nested.items() if name not in old and value != default.get(name)}


def _without_later(model: str, settings: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings without those of `LATER` that are the default."""
    result = dict(settings)
    for name in LATER.get(model, ()):
        group, _, field = name.rpartition(".")
        values, default = (result.get(group, {}), defaults.get(group, {})) if group else (result, defaults)
        if values.get(field) == default.get(field):
            rest = {key: value for key, value in values.items() if key != field}
            result = result | {group: rest} if group else rest
    return result
