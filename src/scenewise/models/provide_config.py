"""Settings of PROVIDE, group by group, and its presets; `models.provide` says where they depart from the paper.

(code) marks what the public code has, (text) what the paper's text has where the two differ, (ours) what neither has.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from scenewise.config import setting
from scenewise.errors import InputError
from scenewise.nn.decoders import DecoderSettings
from scenewise.nn.refiner import EncoderSettings
from scenewise.variational.duplicates import DuplicateSettings
from scenewise.variational.engine import BudgetSettings
from scenewise.variational.likelihood import Mixture
from scenewise.variational.refinement import Inputs

Grid = Literal["triangular", "full", "halving", "first"]
StepWeights = Literal["relative", "refined", "absolute"]
PriorScale = Literal["log_sigma", "softplus_logvar"]
FirstSample = Literal["per_frame", "shared"]
Cell2d = Literal["lambda", "graves"]
PredictedLatent = Literal["initial", "prior_sample", "prior_mean"]


@dataclass(frozen=True)
class VideoBudget(BudgetSettings):
    """How refinements are spent on the frames of a video."""

    first_looks: int = setting(1, "Times the first frame is looked at, at test (ours)", minimum=1, maximum=64)
    grid: Grid = setting(
        "triangular",
        "Refinements of frame t: max(R - t, 1); R - 1; halved with each frame; or R - 1 in the first, then 1",
    )
    trailing: bool = setting(False, "Code: one more refinement after the last decode from frame 2 on")


@dataclass(frozen=True)
class VideoInputs(Inputs):
    """What the refinement network sees: of a frame, and of what it may have besides."""

    previous_frame: bool = setting(False, "Previous frame and coordinates once more (code option)")
    pretrained_features: bool = setting(False, "Frozen SqueezeNet features of the frame (code)")

    def channels(self, colours: int) -> tuple[int, int]:
        """Return the numbers of shared and per-slot channels for frames with `colours` channels."""
        shared, per_slot = super().channels(colours)
        return shared + 16 * self.pretrained_features + (colours + 2) * self.previous_frame, per_slot


@dataclass(frozen=True)
class PriorSettings:
    """What is expected of a frame before it is seen."""

    conditional: bool = setting(True, "From h of the last frame; else N(0, I)")
    scale: PriorScale = setting("log_sigma", "Its head gives log sigma, or softplus log-variance (code)")


@dataclass(frozen=True)
class PredictionSettings:
    """What a predicted frame is."""

    latent: PredictedLatent = setting("initial", "Its z")
    readout: Literal["first", "refined"] = setting("first", "Its first decode, or one more")


@dataclass(frozen=True)
class ProvideConfig:
    """Settings of PROVIDE; defaults are the preset `paper`."""

    size: tuple[int, int] = setting((64, 64), "Height and width of the frames, pixels", minimum=8, maximum=1024)
    channels: int = setting(3, "Channels of the frames", minimum=1, maximum=4)
    slots: int = setting(5, "K, slots including background", minimum=1, maximum=256)
    refinements: int = setting(6, "R, refinement budget of the first frame", minimum=1, maximum=64)
    budget: VideoBudget = setting(VideoBudget(), "How refinements are spent")
    latent: int = setting(64, "M, latent size of a slot", minimum=1, maximum=1024)
    hidden: int = setting(128, "Size of the 2D-LSTM's states", minimum=1, maximum=2048)
    sigma: float = setting(0.3**0.5, "Standard deviation of a pixel (variance 0.3)", minimum=1e-3, maximum=10)
    mixture: Mixture = setting("pixel", "Mixture joint over channels, or per channel (code)")
    reconstruction_weight: float = setting(100.0, "beta, weight of the reconstruction NLL", minimum=0)
    kl_weight: float = setting(10.0, "psi, weight of the KL", minimum=0)
    entropy_weight: float = setting(0.0, "gamma, weight of the minimised mask entropy (0.1 for binary)", minimum=0)
    beta_schedule: bool = setting(False, "Colour schedule: beta 300 above NLL 600, 100 above 200, else kept")
    step_weights: StepWeights = setting("relative", "r / D_t; r / R_t, final decode 0 (text); r / R (code)")
    prior: PriorSettings = setting(PriorSettings(), "What is expected of a frame")
    conditional_decoder: bool = setting(True, "Decoder sees h of the last frame")
    first_sample: FirstSample = setting("per_frame", "First noise of a frame: fresh, or shared (code)")
    cell: Cell2d = setting("lambda", "2D-LSTM: gated mix of the cells (code), or Graves 2007")
    inputs: VideoInputs = setting(VideoInputs(), "What the refinement network sees")
    prediction: PredictionSettings = setting(PredictionSettings(), "What a predicted frame is")
    mean_activation: Literal["sigmoid", "linear"] = setting("sigmoid", "Activation of the means")
    decoder: DecoderSettings = setting(DecoderSettings(), "What draws a slot")
    encoder: EncoderSettings = setting(EncoderSettings("flat", code=128), "The refinement network's image encoder")
    composed_until: tuple[int, int] = setting((0, 0), "Steps: composed likelihood until, blended out until", minimum=0)
    area_entropy_weight: float = setting(0.0, "Weight of the entropy of slot areas (ours)", minimum=0)
    area_entropy_from: tuple[int, int] = setting((0, 0), "Steps over which that weight grows from 0", minimum=0)
    duplicates: DuplicateSettings = setting(DuplicateSettings(), "The LDS prior against duplicate slots (BMVC 2021)")
    pooling: int = setting(1, "Explain frames pooled by this factor, draw back bilinearly (ours)", minimum=1, maximum=8)
    recompute: bool = setting(False, "Recompute each cell in the backward pass: less memory, a third more time")
    bf16_convolutions: bool = setting(False, "Convolutions in bfloat16; everything probabilistic stays float32")

    @property
    def working_size(self) -> tuple[int, int]:
        """(H, W) at which frames are explained."""
        return self.size[0] // self.pooling, self.size[1] // self.pooling

    def __post_init__(self) -> None:
        """Raise InputError for settings that cannot work together."""
        height, width = self.working_size
        if self.size != (height * self.pooling, width * self.pooling):
            raise InputError("size", f"must be divisible by pooling = {self.pooling}; found {list(self.size)}.")
        pooling = self.encoder.pooling
        needs = {"coarse": self.decoder.factor, "strided": 8 * pooling, "flat": 4 * pooling}
        for name, kind in (("decoder", self.decoder.kind), ("encoder", self.encoder.kind)):
            multiple = needs.get(kind, 1)
            if height % multiple or width % multiple:
                problem = f"{name} {kind!r} needs working sides divisible by {multiple}; found {height} x {width}."
                raise InputError("size", problem)
        self.decoder.check_size(self.working_size)
        self.encoder.check_size(self.working_size)
        for name, (start, end) in (
            ("composed_until", self.composed_until),
            ("area_entropy_from", self.area_entropy_from),
        ):
            if end < start:
                raise InputError(name, f"must not decrease; found {[start, end]}.")
        if self.inputs.pretrained_features and self.channels != 3:
            raise InputError("inputs.pretrained_features", f"need three channels; found {self.channels}.")


PAPER = ProvideConfig()
PRESETS: dict[str, Any] = {
    "paper": {},
    "text": {
        "step_weights": "refined", "inputs": {"likelihood": "probability"}, "cell": "graves",
        "mean_activation": "linear", "reconstruction_weight": 10.0, "kl_weight": 1.0,
        "prediction": {"readout": "refined"},
    },
    "reference": {
        "mixture": "channel", "budget": {"trailing": True}, "step_weights": "absolute", "beta_schedule": True,
        "prior": {"scale": "softplus_logvar"}, "first_sample": "shared",
        "inputs": {"left_out": ["leave_one_out"], "mask_posterior": "softmax_of_lik", "pretrained_features": True},
    },
    "fast": {
        "latent": 32, "decoder": {"kind": "coarse", "channels": 32}, "encoder": {"kind": "strided", "channels": 32},
        "pooling": 2, "refinements": 3, "first_sample": "shared", "inputs": {"mask_gradient": "logit"}, "sigma": 0.55,
        "reconstruction_weight": 1.0, "kl_weight": 0.02, "budget": {"extra": "better", "first_looks": 3},
    },
    "tiny": {
        "size": [16, 16], "slots": 3, "refinements": 3, "latent": 8, "hidden": 16, "decoder": {"channels": 8},
        "encoder": {"channels": 8, "code": 16},
    },
}  # fmt: skip
