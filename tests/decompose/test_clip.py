"""Whatever holds a video becomes frames of the model's size."""

import numpy as np
import pytest
import torch
from PIL import Image

import scenewise as sw
from scenewise.data import Sample
from scenewise.decompose import open_clip
from scenewise.errors import InputError

SHAPE = (3, 16, 16)


def images(clip):
    return np.stack([frame.image for frame in clip])


@pytest.fixture
def folder(tmp_path, video):
    for t, image in enumerate(video):
        Image.fromarray(image).save(tmp_path / f"{t:02d}.png")
    return tmp_path


def test_all_kinds_give_the_same_frames(folder, video):
    tensor = torch.from_numpy(video).permute(0, 3, 1, 2)
    kinds = {
        "path": folder,
        "text": str(folder),
        "reader": sw.read_video(folder),
        "array": video,
        "floats": video / 255.0,
        "tensor": tensor,
        "float tensor": tensor / 255,
        "sample": Sample(tensor.numpy()),
        "list": list(video),
        "media frames": list(sw.read_video(folder)),
        "tensors": list(tensor),
    }
    for kind, given in kinds.items():
        clip = open_clip(given, SHAPE)
        np.testing.assert_array_equal(images(clip), video, kind)
        np.testing.assert_array_equal(images(clip), video, f"{kind}, second time")


def test_grey_and_rgba_arrays_become_rgb(video):
    assert images(open_clip(video[..., 0], SHAPE)).shape == (12, 16, 16, 3)
    rgba = np.concatenate([video, np.full_like(video[..., :1], 255)], -1)
    np.testing.assert_array_equal(images(open_clip(rgba, SHAPE)), video)


def test_one_channel_models_get_luma(video):
    assert images(open_clip(video, (1, 16, 16))).shape == (12, 16, 16, 1)


def test_frames_are_scaled_only_where_allowed(video):
    large = video.repeat(2, 1).repeat(2, 2)
    np.testing.assert_array_equal(images(open_clip(large, SHAPE)), video)
    with pytest.raises(InputError, match=r"size=\(16, 16\)"):
        images(open_clip(large, SHAPE, resize=False))


def test_ids_are_scaled_by_nearest_pixel(video, ids):
    sample = Sample(np.moveaxis(video.repeat(3, 1).repeat(3, 2), -1, 1), ids.repeat(3, 1).repeat(3, 2))
    found = np.stack([frame.ids for frame in open_clip(sample, SHAPE)])
    np.testing.assert_array_equal(found, ids)


def test_reading_options_reach_a_path(folder):
    clip = open_clip(folder, SHAPE, every=3, crop=(0, 0, 8, 8))
    assert [frame.index for frame in clip] == [0, 3, 6, 9]
    assert clip.crop == (0, 0, 8, 8)
    assert clip.reading["every"] == 3


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.full((2, 16, 16, 3), np.nan), "NaN"),
        (np.full((2, 16, 16, 3), 7.0), "Divide"),
        (np.zeros((16, 16)), "expected shape"),
        (np.zeros((2, 16, 16, 2), np.uint8), "H, W, 1, 3 or 4"),
        (np.zeros((0, 16, 16, 3), np.uint8), "no frame"),
        (7, "expected a path"),
    ],
)
def test_what_is_no_video_is_refused(given, message):
    with pytest.raises(InputError, match=message):
        images(open_clip(given, SHAPE))


def test_reading_options_need_a_path(video):
    with pytest.raises(InputError, match="read_video"):
        open_clip(video, SHAPE, every=2)


def test_pictures_of_the_source_are_larger_than_what_a_model_takes(tmp_path):
    from scenewise.media import VideoWriter, read_video

    with VideoWriter(tmp_path / "clip.mp4", (90, 160), 10) as writer:
        for t in range(60):
            writer.write(np.full((90, 160, 3), 4 * t, np.uint8))
    clip = open_clip(read_video(tmp_path / "clip.mp4", size=(16, 16)), (3, 16, 16))
    for numbers in ([0, 2, 5], [1, 58]):  # read through, and sought
        shown = list(clip.pictures(numbers, longest=80))
        assert [image.shape for image in shown] == [(45, 80, 3)] * len(numbers)
        assert [float(image.mean()) for image in shown] == pytest.approx([4 * n for n in numbers], abs=3)
    assert len(list(clip.pictures([3, 500]))) == 1  # the file ends before


def test_no_pictures_where_results_show_as_much():
    clip = open_clip(np.zeros((2, 16, 16, 3), np.uint8), (3, 16, 16))
    assert list(clip.pictures([0, 1])) == []
    large = open_clip(np.zeros((2, 40, 64, 3), np.uint8), (3, 16, 16))
    assert [image.shape for image in large.pictures([1])] == [(40, 64, 3)]
