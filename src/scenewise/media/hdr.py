"""From HDR video (PQ and HLG) and other light curves to BT.709, for displays of 8 bits and models that learn from them.

The display light of a pixel is found by ITU-R BT.2100 (PQ as it is; HLG by the system gamma 1.2 of a display of 1000
cd/m2) and brought to the primaries of BT.709. Reference white, 203 cd/m2 (ITU-R BT.2408), becomes white, so that what
is no highlight has the colour it has in the same programme in BT.709; highlights are brought down to white, hue kept.
The values written are those of a BT.1886 display, gamma 2.4. Light that is stored as it is, by its logarithm or as
SMPTE ST 428 (digital cinema) has white at 1 and is shown in the same way.

The curves of cameras (S-Log, V-Log, C-Log ...) have no number in H.273, so that a file does not tell of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

REFERENCE_WHITE = 203.0
"""Display light of white, cd/m2 (ITU-R BT.2408)."""

TRANSFERS = {16: "PQ", 18: "HLG", 8: "linear", 9: "logarithmic 100:1", 10: "logarithmic 316:1", 17: "SMPTE ST 428"}
"""Transfer functions that are undone, by their number in ITU-T H.273."""

HDR = (16, 18)
"""Those of them that have light brighter than white."""

_PEAK = 1000.0  # cd/m2 of the display that HLG is shown on
_SYSTEM_GAMMA = 1.2
_DISPLAY_GAMMA = 2.4
_LUMINANCE = np.array([0.2627, 0.6780, 0.0593], np.float32)  # of BT.2020
_WHITE_D65 = (0.3127, 0.3290)
_BT709 = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
_BT2020 = ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046))
_PRIMARIES = {1: _BT709, 9: _BT2020, 12: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))}  # by number in H.273


@dataclass(frozen=True)
class ToneMap:
    """How frames of a file become BT.709.

    Attributes:
        transfer: Number of the transfer function in ITU-T H.273, one of `TRANSFERS`.
        primaries: Number of the primaries there; those of BT.2020 where it is none that is known.
    """

    transfer: int
    primaries: int

    def __call__(self, codes: np.ndarray) -> tuple[np.ndarray, float]:
        """Return uint8 (H, W, 3) of BT.709, and the brightest light of any pixel in cd/m2.

        Args:
            codes: RGB as coded, uint16 over its whole range, shape (H, W, 3).

        Examples:
            The code of 203 cd/m2 in PQ, 58 % of the range, is white:

            >>> white, light = ToneMap(16, 9)(np.full((1, 1, 3), 38055, np.uint16))
            >>> white.tolist(), round(light)
            ([[[255, 255, 255]]], 203)
        """
        light = _light(self.transfer)[codes]  # (H, W, 3)
        if TRANSFERS[self.transfer] == "HLG":
            scene = np.maximum(light @ _LUMINANCE, 1e-6)[..., None]
            light = light * scene ** np.float32(_SYSTEM_GAMMA - 1) * np.float32(_PEAK / REFERENCE_WHITE)
        light = np.maximum(light @ _to_bt709(self.primaries).T, 0)
        largest = light.max(axis=-1, keepdims=True)
        light_share = light / np.maximum(largest, 1)
        values = np.rint(light_share ** np.float32(1 / _DISPLAY_GAMMA) * 255).astype(np.uint8)
        return values, float(largest.max()) * REFERENCE_WHITE


@cache
def _light(transfer: int) -> np.ndarray:
    """Return what each code of 16 bits stands for: of HLG scene light, from 0 to 1; else display light, white 1."""
    code = np.arange(65536) / 65535
    if TRANSFERS[transfer] == "linear":
        return code.astype(np.float32)
    if TRANSFERS[transfer].startswith("logarithmic"):  # decades of light; code 0 is black
        decades = 2.0 if transfer == 9 else 2.5
        return np.where(code > 0, 10 ** (decades * (code - 1)), 0).astype(np.float32)
    if TRANSFERS[transfer] == "SMPTE ST 428":
        return (52.37 / 48 * code**2.6).astype(np.float32)
    if TRANSFERS[transfer] == "HLG":
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        scene = np.where(code <= 0.5, code**2 / 3, (np.exp((code - c) / a) + b) / 12)
        return scene.astype(np.float32)
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    root = code ** (1 / m2)
    return (10000 / REFERENCE_WHITE * (np.maximum(root - c1, 0) / (c2 - c3 * root)) ** (1 / m1)).astype(np.float32)


@cache
def _to_bt709(primaries: int) -> np.ndarray:
    """Return the matrix from linear RGB of some primaries to that of BT.709, float32 (3, 3)."""
    own = _to_xyz(_PRIMARIES.get(primaries, _BT2020))
    return (np.linalg.inv(_to_xyz(_BT709)) @ own).astype(np.float32)


def _to_xyz(primaries: tuple[tuple[float, float], ...]) -> np.ndarray:
    """Return the matrix from linear RGB to XYZ for which R = G = B = 1 is white of D65."""
    columns = np.array([[x / y, 1, (1 - x - y) / y] for x, y in primaries]).T
    x, y = _WHITE_D65
    return columns * np.linalg.solve(columns, np.array([x / y, 1, (1 - x - y) / y]))
