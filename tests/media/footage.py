"""Writers of tiny files of every kind the readers must bear."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np


def noise(frames=6, height=20, width=24, channels=3, seed=0):
    """Frames that differ everywhere, uint8 (T, H, W, C)."""
    return np.random.default_rng(seed).integers(0, 256, (frames, height, width, channels), dtype=np.uint8)


def ramp(frames, height=16, width=16):
    """Frames whose grey level tells their index, also after lossy coding: (T, H, W, 3), level 4 * index."""
    levels = (4 * np.arange(frames) % 256).astype(np.uint8)
    return np.broadcast_to(levels[:, None, None, None], (frames, height, width, 3)).copy()


def write_video(
    path,
    frames,
    *,
    codec=None,
    pixels=None,
    rate=10,
    times=None,
    turn=None,
    movflags="faststart",
    options=None,
    gop=None,
    layout=None,
):
    """Write a video; the default codec is a lossless RGB one. `times` are presentation times in ticks of 1/1000 s."""
    codec = codec or ("ffv1" if str(path).endswith(".mkv") else "png")
    pixels = pixels or {"png": "rgb24", "ffv1": "bgr0"}.get(codec, "yuv420p")
    layout = layout or {1: "gray", 3: "rgb24", 4: "rgba"}[frames.shape[-1]]
    muxing = {"movflags": movflags} if movflags and str(path).endswith((".mp4", ".mov")) else {}
    with av.open(str(path), "w", options=muxing) as container:
        stream = container.add_stream(codec, rate=rate, options=options or {})
        stream.height, stream.width, stream.pix_fmt = frames.shape[1], frames.shape[2], pixels
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        if gop:
            stream.codec_context.gop_size = gop
        if turn is not None:
            stream.set_display_rotation(*turn)
        for index, image in enumerate(frames):
            image = image[..., 0] if frames.shape[-1] == 1 else image
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format=layout)
            if times is not None:
                frame.pts, frame.time_base = times[index], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def write_audio(path):
    """Write a file that holds sound only."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.float32), format="fltp", layout="mono")
        sound.sample_rate = 8000
        for packet in [*stream.encode(sound), *stream.encode(None)]:
            container.mux(packet)


def images(reader):
    """All frames of a reader, (T, H, W, 3)."""
    return np.stack([frame.image for frame in reader])
