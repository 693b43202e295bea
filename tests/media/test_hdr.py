"""HDR video comes out in the colours that the same scene has in BT.709."""

import numpy as np
import pytest

from scenewise.media import read_video
from scenewise.media.hdr import ToneMap

from .footage import images

PATCHES = np.array([(230, 20, 20), (20, 230, 20), (20, 20, 230), (230, 230, 20), (128, 128, 128), (20, 20, 20)])
TO_BT2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])  # ITU-R BT.2087


def display_light(patches, white=203.0):
    """Light in cd/m2 of RGB of BT.2020 for colours of BT.709 on a display of gamma 2.4, white at 203 (BT.2408)."""
    return (patches / 255) ** 2.4 @ TO_BT2020.T * white


def pq(light):
    """Codes from 0 to 1 of light in cd/m2 (SMPTE ST 2084)."""
    power = (light / 10000) ** (2610 / 16384)
    return ((3424 / 4096 + 2413 / 128 * power) / (1 + 2392 / 128 * power)) ** (2523 / 32)


def hlg(light):
    """Codes from 0 to 1 of light in cd/m2 on a display of 1000 cd/m2, whose system gamma is 1.2 (BT.2100)."""
    luminance = light / 1000 @ np.array([0.2627, 0.6780, 0.0593])
    scene = light / 1000 * np.maximum(luminance, 1e-9)[..., None] ** (1 / 1.2 - 1)
    upper = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), upper)


def picture(codes, frames=3, side=32):
    """Patches side by side as raw frames of 16 bits."""
    row = np.repeat(np.rint(np.clip(codes, 0, 1) * 65535).astype("<u2"), side, 0)
    return np.broadcast_to(row, (frames, side, *row.shape))


def write_hdr(ffmpeg, path, codes, transfer, codec):
    raw = picture(codes)
    size = f"{raw.shape[2]}x{raw.shape[1]}"
    tags = ("-color_primaries", "bt2020", "-color_trc", transfer, "-colorspace", "bt2020nc", "-color_range", "tv")
    convert = "scale=out_color_matrix=bt2020:out_range=limited,format=yuv420p10le"
    convert += f",setparams=color_primaries=bt2020:color_trc={transfer}:colorspace=bt2020nc:range=tv"
    if codec == "libx265":
        keys = f"log-level=none:colorprim=bt2020:transfer={transfer}:colormatrix=bt2020nc:range=limited:crf=4"
        tags = (*tags, "-x265-params", keys)
    source = ("-f", "rawvideo", "-pix_fmt", "rgb48le", "-s", size, "-r", 12, "-i", "-")
    ffmpeg(*source, "-vf", convert, "-c:v", codec, *tags, path, input=raw.tobytes())


@pytest.mark.parametrize(("transfer", "curve"), [("smpte2084", pq), ("arib-std-b67", hlg)], ids=["PQ", "HLG"])
@pytest.mark.parametrize(("name", "codec"), [("clip.mp4", "libx265"), ("clip.mkv", "ffv1")])
def test_patches_have_the_colours_of_bt709(ffmpeg, tmp_path, transfer, curve, name, codec):
    write_hdr(ffmpeg, tmp_path / name, curve(display_light(PATCHES)), transfer, codec)
    reader = read_video(tmp_path / name)
    read = images(reader)[:, 16, 16::32].astype(int)
    # A step of 10 bits is up to a dozen values of 255 in a dark channel beside bright ones.
    assert np.abs(read - PATCHES).max() <= 20
    assert np.abs(read[:, 4:] - PATCHES[4:]).max() <= 3
    assert reader.problems == []
    half = images(read_video(tmp_path / name, size=(16, 96), crop=(0, 0, 32, 192)))[:, 8, 8::16].astype(int)
    assert np.abs(half - PATCHES).max() <= 20


@pytest.mark.parametrize(("transfer", "curve"), [(16, pq), (18, hlg)], ids=["PQ", "HLG"])
def test_without_quantisation_every_colour_comes_back(transfer, curve):
    colours = np.stack(np.meshgrid(*[np.arange(0, 256, 15)] * 3, indexing="ij"), -1).reshape(-1, 3)
    codes = np.rint(curve(display_light(colours)) * 65535).astype(np.uint16)
    shown, light = ToneMap(transfer, 9)(codes[None])
    bright = colours >= 30  # below, a step of the codes is more than one of 255
    assert np.abs(shown[0].astype(int) - colours)[bright].max() <= 2
    assert light == pytest.approx(203, rel=0.01)


def test_highlights_keep_their_hue_and_are_told(ffmpeg, tmp_path):
    lamp = np.array([[1000.0, 500.0, 250.0]]) @ TO_BT2020.T
    codes = pq(np.concatenate([lamp, display_light(PATCHES[-2:])]))
    write_hdr(ffmpeg, tmp_path / "clip.mkv", codes, "smpte2084", "ffv1")
    reader = read_video(tmp_path / "clip.mkv")
    read = images(reader)[0, 16, 16::32].astype(int)
    expected = 255 * np.array([1, 0.5, 0.25]) ** (1 / 2.4)
    assert np.abs(read[0] - expected).max() <= 4
    assert np.abs(read[1:] - PATCHES[-2:]).max() <= 3
    (told,) = reader.problems
    assert told.startswith("is HDR (PQ)")
    assert 950 < float(told.partition("up to ")[2].split()[0]) < 1050


def test_primaries_of_bt709_stay():
    codes = np.rint(pq((PATCHES / 255) ** 2.4 * 203) * 65535).astype(np.uint16)
    assert np.abs(ToneMap(16, 1)(codes[None])[0][0].astype(int) - PATCHES).max() <= 2


CURVES = {
    "linear": lambda light: light,
    "log100": lambda light: np.where(light >= 0.01, 1 + np.log10(np.maximum(light, 0.01)) / 2, 0),
    "log316": lambda light: np.where(light >= 10**-2.5, 1 + np.log10(np.maximum(light, 10**-2.5)) / 2.5, 0),
    "smpte428": lambda light: (48 / 52.37 * light) ** (1 / 2.6),
}
"""Codes of light from 0 to 1, as ITU-T H.273 (Table 3) has them."""


@pytest.mark.parametrize("transfer", CURVES)
def test_light_by_other_curves_is_shown_as_bt709_shows_it(ffmpeg, tmp_path, transfer):
    light = np.maximum(display_light(PATCHES, white=1.0), 0)
    write_hdr(ffmpeg, tmp_path / "clip.mkv", CURVES[transfer](light), transfer, "ffv1")
    reader = read_video(tmp_path / "clip.mkv")
    read = images(reader)[0, 16, 16::32].astype(int)
    assert np.abs(read[4] - PATCHES[4]).max() <= 3
    # Ten bits of linear light have steps of up to a tenth of the range in the dark, and logarithms end at -25 dB.
    bright = PATCHES >= 100
    assert np.abs(read - PATCHES)[bright].max() <= 8
    (told,) = reader.problems
    assert "transfer function" in told


@pytest.mark.parametrize(("number", "name"), [(8, "linear"), (9, "log100"), (10, "log316"), (17, "smpte428")])
def test_curves_without_quantisation(number, name):
    colours = np.stack(np.meshgrid(*[np.arange(60, 256, 15)] * 3, indexing="ij"), -1).reshape(-1, 3)
    codes = np.rint(CURVES[name]((colours / 255) ** 2.4) * 65535).astype(np.uint16)
    assert np.abs(ToneMap(number, 1)(codes[None])[0][0].astype(int) - colours).max() <= 1


def test_wide_primaries_with_the_transfer_of_bt709_are_read_as_they_were(ffmpeg, tmp_path):
    write_hdr(ffmpeg, tmp_path / "clip.mkv", PATCHES / 255, "bt2020-10", "ffv1")
    reader = read_video(tmp_path / "clip.mkv")
    assert np.abs(images(reader)[0, 16, 16::32].astype(int) - PATCHES).max() <= 3
    assert reader.problems == []
