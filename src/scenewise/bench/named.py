"""The cases a bench has names for. Nothing here needs torch: the command line lists them in its help."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Case:
    """A setting with a name, to be compared over time.

    Attributes:
        model: A registered model.
        preset: One of its presets.
        batch: B.
        frames: T.
        overrides: Settings, of which those count that the model has.
    """

    model: str
    preset: str
    batch: int
    frames: int
    overrides: dict[str, Any] = field(default_factory=dict)


_IODINE = {"slots": 7, "refinements": 5, "latent": 64, "decoder": {"channels": 64}, "encoder": {"channels": 64}}
_IODINE_CODE = {
    "final_decode": True, "bptt": "detach_lambda", "inputs": {"mask_gradient": "logit", "likelihood": "ratio"},
}  # fmt: skip
_WINDOWS_BALLS = {
    "size": [64, 64], "decoder": {"patch": 16}, "windows": {"backdrop": "plain", "colours": 0.1, "brightness": 0.0},
}  # fmt: skip
CASES = {
    "provide-paper": Case("provide", "paper", 2, 4, {"size": [64, 64], "slots": 5, "refinements": 6}),
    "iodine-64": Case("iodine", "paper", 4, 1, {"size": [64, 64], **_IODINE}),
    "iodine-128": Case("iodine", "paper", 4, 1, {"size": [128, 128], **_IODINE}),
    "monet-64": Case("monet", "paper", 4, 1, {"slots": 7}),
    "mulmon-64": Case("mulmon", "paper", 2, 10),
    "ddpae-64": Case("ddpae", "paper", 8, 20),
    "rnem-64": Case("rnem", "paper", 2, 10),
    "dvip-64": Case("dvip", "paper", 8, 4),
    "windows-footage": Case("provide-windows", "paper", 12, 3, {"size": [48, 80], "pooling": 2}),
    "windows-balls": Case("provide-windows", "paper", 12, 3, _WINDOWS_BALLS),
    "provide-code": Case("provide", "reference", 2, 4, {"size": [64, 64], "slots": 5, "refinements": 6}),
    "iodine-code": Case("iodine", "paper", 4, 1, {"size": [64, 64], **_IODINE, **_IODINE_CODE}),
    "mulmon-code": Case("mulmon", "paper", 2, 5, {"views": {"least": 4, "most": 4}}),
    "genesis-code": Case("genesis", "paper", 4, 1),
    "monet-code": Case("monet", "genesis-paper", 4, 1, {"slots": 5}),
}
MAIN = ("provide-paper", "iodine-64", "iodine-128", "mulmon-64")
"""Cases that are measured where nothing is named. Those named `code` do the work of the papers' public codes."""
