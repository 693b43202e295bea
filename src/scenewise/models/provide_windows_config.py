"""Settings of PROVIDE with slots in windows, and its presets; `models.provide_windows` says what is ours."""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Literal

from scenewise.config import setting
from scenewise.errors import InputError
from scenewise.models.provide_config import ProvideConfig
from scenewise.nn.windows import NUMBERS, CropEncoderSettings, WindowDecoderSettings

Backdrop = Literal["picture", "plain"]


@dataclass(frozen=True)
class WindowSettings:
    """Settings of the life of slots."""

    strange: tuple[float, float] = setting(
        (0.05, 0.08), "Distance from slot 0's colour of a part's pixels, and of its clear ones", minimum=0, maximum=2
    )
    backdrop: Backdrop = setting("picture", "What slot 0 shows: a picture, or the one colour most of a frame has")
    colours: float = setting(
        0.0, "Step of colour at which one part ends and another begins; 0: at none, objects are of many", minimum=0
    )
    hues: float = setting(
        0.0,
        "The same of hues, brightness left out, between the middles of objects that touch, and of `colours` there; 0: "
        "objects are of many",
        minimum=0,
        maximum=3,
    )
    necks: float = setting(
        0.0,
        "Width of a part, as a share of that on both sides, below which two objects touch there; 0: of any shape",
        minimum=0,
        maximum=1,
    )
    brightness: float = setting(
        0.7, "Share of a pixel's change of brightness, as of a shadow, that makes no object", minimum=0, maximum=1
    )
    absorbed: float = setting(0.0, "Share of it that slot 0 draws while a frame is explained", minimum=0, maximum=1)
    least_area: float = setting(
        0.003, "Share of the frame below which a slot dies and none is born", minimum=0, maximum=1
    )
    most_area: float = setting(
        1.0,
        "Share of the frame above which a part holds several objects, and is cut where it is narrow for its size",
        minimum=0,
        maximum=1,
    )
    fit: float = setting(
        2.5,
        "Distance from its colour up to which a slot owns a pixel, in sigma; the rest may be another object",
        minimum=0,
    )
    edge: float = setting(
        0.3,
        "Share of an object's mean distance from the wall below which its pixels are background",
        minimum=0,
        maximum=1,
    )
    faint: float = setting(
        0.04, "Distance from the wall below which no pixel is an object's; twice that is no wall", minimum=0, maximum=1
    )
    memory: int = setting(30, "Frames for which a slot waits for an object that has gone", minimum=0, maximum=100_000)
    least_drawn: float = setting(
        0.5, "Share of its object that a slot must have drawn well, or it starts anew", minimum=0, maximum=1
    )
    dynamics: int = setting(
        0, "Width of the network that learns how objects move, for predicted frames; 0: they keep their pace",
        minimum=0, maximum=1024,
    )  # fmt: skip
    jitter: float = setting(0.2, "Spread of first guesses in training, log units", minimum=0, maximum=1)


@dataclass(frozen=True)
class WindowsConfig(ProvideConfig):
    """Settings of PROVIDE with windows; some of PROVIDE's are not for it and must stay as they are."""

    decoder: WindowDecoderSettings = setting(WindowDecoderSettings(), "What draws a slot")  # type: ignore[assignment]
    encoder: CropEncoderSettings = setting(CropEncoderSettings(), "The refinement network's encoder")  # type: ignore[assignment]
    windows: WindowSettings = setting(WindowSettings(), "When slots are born and die")

    def __post_init__(self) -> None:
        """Raise InputError for settings that windows cannot use, or that cannot work together."""
        default = ProvideConfig()
        for name in _NOT_FOR_WINDOWS:
            value = attrgetter(name)(self)
            if value != attrgetter(name)(default):
                problem = f"is not for slots in windows; found {value!r}."
                raise InputError(name, problem, "Leave it out, or use the model provide.")
        if any(side % self.pooling for side in self.size):
            raise InputError("size", f"must be divisible by pooling = {self.pooling}; found {list(self.size)}.")
        least = max(NUMBERS, self.decoder.light_fields)
        if self.latent < least:
            problem = f"must be at least {least}; found {self.latent}."
            raise InputError("latent", problem, "Raise it, or lower decoder.light_fields.")


_NOT_FOR_WINDOWS = (
    "mixture", "mean_activation", "conditional_decoder", "prior.conditional", "budget.trailing", "cell",
    "inputs.previous_frame", "inputs.pretrained_features", "composed_until", "recompute", "budget.first_looks",
)  # fmt: skip
_OURS: dict[str, Any] = {
    "size": [24, 40], "slots": 6, "latent": 24, "hidden": 96, "refinements": 3, "sigma": 0.06,
    "inputs": {"mask_gradient": "logit"}, "reconstruction_weight": 1.0, "kl_weight": 1.0,
}  # fmt: skip
PRESETS: dict[str, Any] = {
    "paper": _OURS,
    "tiny": {
        **_OURS, "size": [16, 16], "slots": 3, "latent": 8, "hidden": 16,
        "decoder": {"channels": 8, "patch": 8, "light_fields": 2}, "encoder": {"channels": 8, "code": 16, "side": 8},
    },
}  # fmt: skip
