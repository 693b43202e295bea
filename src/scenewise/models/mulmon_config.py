"""Settings of MulMON and its presets; see models/mulmon.py."""

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


@dataclass(frozen=True)
class ProjectionSettings:
    """What makes of a slot and a viewpoint the slot as it is seen from there."""

    hidden: int = setting(512, "Width of its hidden layer", minimum=1, maximum=8192)
    products: bool = setting(False, "Latent times viewpoint code among its inputs (ours)")
    residual: bool = setting(False, "It adds the latent, turned linearly by the viewpoint (ours)")


@dataclass(frozen=True)
class ViewSettings:
    """How the views of a scene are divided in training: some are observed, others queried."""

    least: int = setting(1, "Fewest views observed", minimum=1, maximum=64)
    most: int = setting(6, "Most views observed", minimum=1, maximum=64)
    queries: int = setting(0, "Most views queried; 0 for all others", minimum=0, maximum=64)

    def __post_init__(self) -> None:
        """Raise InputError where fewer are observed at most than at least."""
        if self.least > self.most:
            raise InputError("views.least", f"is {self.least}, more than views.most = {self.most}.")


@dataclass(frozen=True)
class ViewInputs(Inputs):
    """What the refinement network sees: of each view, and of where it is taken from."""

    viewpoint: bool = setting(False, "The viewpoint (paper's formula; code: no)")


@dataclass(frozen=True)
class MulmonConfig:
    """Settings of MulMON; defaults are the preset `paper`."""

    size: tuple[int, int] = setting((64, 64), "Height and width of the views, pixels", minimum=8, maximum=1024)
    channels: int = setting(3, "Channels of the views", minimum=1, maximum=4)
    slots: int = setting(7, "K, slots including background", minimum=1, maximum=256)
    refinements: int = setting(4, "R, refinements of a view; R + 1 decodes", minimum=1, maximum=64)
    budget: BudgetSettings = setting(BudgetSettings(), "How refinements are spent")
    latent: int = setting(16, "Z, latent size of a slot (Jaco: 16 or 32)", minimum=1, maximum=1024)
    viewpoint: int = setting(3, "D, numbers of a viewpoint (Jaco: 7)", minimum=1, maximum=1024)
    viewpoint_code: int = setting(3, "Size of the viewpoint's code (code: D)", minimum=1, maximum=1024)
    viewpoint_noise: float = setting(0.015, "Std of the noise on viewpoints in training", minimum=0, maximum=10)
    projection: ProjectionSettings = setting(ProjectionSettings(), "From slots to slots as a view shows them")
    first_prior: Literal["lam0", "standard_normal"] = setting("lam0", "Prior of the first view")
    views: ViewSettings = setting(ViewSettings(), "Which views are observed and queried in training")
    query_weight: float = setting(1.0, "Weight of the queries' NLL", minimum=0)
    sigma: float = setting(0.1, "Standard deviation of a pixel", minimum=1e-3, maximum=10)
    sigma_start: float = setting(0.0, "It falls from this in training; 0 for no fall", minimum=0, maximum=10)
    sigma_steps: int = setting(20_000, "Steps in which it would fall to 0", minimum=1)
    mixture: Mixture = setting("channel", "Mixture per channel, or joint over them")
    reconstruction_weight: float = setting(1.0, "Weight of the reconstruction NLL", minimum=0)
    kl_weight: float = setting(1.0, "Weight of the KL", minimum=0)
    kl_estimate: Literal["closed", "sample"] = setting("closed", "KL in the loss: closed form, or one sample")
    duplicates: DuplicateSettings = setting(DuplicateSettings(), "Prior against duplicate slots (LDS: weight 1)")
    area_entropy_weight: float = setting(0.0, "Weight of the entropy of slot areas (ours)", minimum=0)
    inputs: ViewInputs = setting(ViewInputs(mask_gradient="logit"), "What the refinement network sees")
    mean_activation: Literal["linear", "sigmoid"] = setting("linear", "Activation of the means")
    decoder: DecoderSettings = setting(DecoderSettings("unpadded", 32), "What draws a slot, as projected to a view")
    encoder: EncoderSettings = setting(EncoderSettings("unpadded", 32, 128), "The refinement network's image encoder")
    hidden: int = setting(128, "Size of the LSTM's states", minimum=1, maximum=2048)
    recompute: bool = setting(False, "Recompute each decode in the backward pass: less memory, a third more time")
    bf16_convolutions: bool = setting(False, "Convolutions in bfloat16; everything probabilistic stays float32")

    def __post_init__(self) -> None:
        """Raise InputError for settings that cannot work together."""
        self.decoder.check_size(self.size)
        self.encoder.check_size(self.size)


PRESETS: dict[str, Any] = {
    "paper": {},
    "lds": {"duplicates": {"weight": 1.0}},
    "fast": {
        "refinements": 2, "latent": 32, "projection": {"hidden": 128, "products": True, "residual": True},
        "views": {"most": 3, "queries": 3}, "inputs": {"viewpoint": True, "likelihood": "ratio"},
        "decoder": {"kind": "coarse", "profiles": 16}, "mean_activation": "sigmoid", "encoder": {"kind": "strided"},
        "mixture": "pixel", "sigma": 0.3, "kl_weight": 0.02, "budget": {"extra": "better"},
    },
    "tiny": {
        "size": [16, 16], "slots": 3, "refinements": 2, "latent": 8, "hidden": 16, "decoder": {"channels": 8},
        "encoder": {"kind": "strided", "channels": 8, "code": 16}, "projection": {"hidden": 16},
    },
}  # fmt: skip
