"""What slots did, which of them are objects, and the numbers that objects have in all files."""

import dataclasses

import numpy as np
import pytest

from scenewise.decompose import FrameResult
from scenewise.summary import PATH_POINTS, Geometry, SlotStatistics, Summary

SUMMARY = Summary("m", 9, "known footage", "", "", ["background", "object", "object", "unused"], 0.1, None, None)


def test_a_slot_is_its_object_where_nothing_else_is_said():
    assert SUMMARY.track_ids == [0, 2, 3, 0]


def test_a_slot_that_was_given_to_another_object_has_several_numbers():
    tracks = dataclasses.replace(SUMMARY, tracks=[[], [1, 4], [2], [3]])
    assert tracks.track_ids == [0, 1, 2, 0]
    assert tracks.objects == 2


SIZE = (16, 16)


def frame_of(labels, image, slots, index=0):
    masks = (labels == np.arange(slots)[:, None, None]).astype(np.float32)
    latents = np.full((slots, 2), float(index))
    blank = np.zeros((slots, *labels.shape, 3), np.uint8)
    return FrameResult(
        index,
        None,
        image,
        labels.astype(np.uint8),
        masks,
        blank,
        image / np.float32(255),
        latents,
        latents * 0 + 0.5,
        0,
        0,
        0,
    )


def judged(*pairs, slots):
    statistics = SlotStatistics(slots, Geometry(SIZE, (0, 0, *SIZE)))
    for index, (labels, image) in enumerate(pairs):
        statistics.add(frame_of(labels, image, slots, index))
    return statistics


def test_a_background_in_halves_is_background_twice():
    labels = np.zeros(SIZE, int)
    labels[:, 9:] = 1
    labels[5:9, 4:8] = 2
    image = np.zeros((*SIZE, 3), np.uint8)
    image[labels == 2] = (255, 0, 0)
    assert judged((labels, image), slots=3).roles() == ["background", "background", "object"]


def test_scattered_pixels_of_the_background_are_background():
    labels = np.zeros(SIZE, int)
    labels[2:14:4, 2:14:4] = 1
    image = np.full((*SIZE, 3), 40, np.uint8)
    assert judged((labels, image), slots=2).roles() == ["background", "background"]


def test_a_large_object_in_the_middle_is_no_background():
    labels = np.zeros(SIZE, int)
    labels[1:15, 1:15] = 1
    image = np.zeros((*SIZE, 3), np.uint8)
    image[labels == 1] = 200
    assert judged((labels, image), slots=2).roles() == ["background", "object"]


def test_an_object_of_the_backgrounds_colour_is_one_thing():
    labels = np.zeros(SIZE, int)
    labels[5:10, 5:10] = 1
    assert judged((labels, np.zeros((*SIZE, 3), np.uint8)), slots=2).roles() == ["background", "object"]


def test_one_slot_is_background():
    assert judged((np.zeros(SIZE, int), np.zeros((*SIZE, 3), np.uint8)), slots=1).roles() == ["background"]


def test_latents_are_averaged_over_active_frames():
    labels = np.zeros(SIZE, int)
    labels[5:10, 5:10] = 1
    image = np.zeros((*SIZE, 3), np.uint8)
    statistics = judged((labels, image), (labels * 0, image), (labels, image), slots=2)
    latent = statistics.rows(statistics.roles())[1]["latent"]
    assert latent == {"mean": [1.0, 1.0], "std_over_time": [1.0, 1.0], "posterior_std": 0.5}


def test_long_paths_are_thinned():
    statistics = SlotStatistics(2, Geometry(SIZE, (0, 0, *SIZE)))
    labels = np.zeros(SIZE, int)
    labels[5:10, 5:10] = 1
    frame = frame_of(labels, np.zeros((*SIZE, 3), np.uint8), 2)
    for index in range(2 * PATH_POINTS + 500):
        frame.index = index
        statistics.add(frame)
    path = statistics.rows(statistics.roles())[1]["centroid_path"]
    assert statistics.stride == 4
    assert [point[0] for point in path] == list(range(0, 2 * PATH_POINTS + 500, 4))


def test_a_slot_that_shares_its_pixels_is_undecided():
    labels = np.zeros(SIZE, int)
    labels[4:9, 4:9] = 1
    frame = frame_of(labels, np.zeros((*SIZE, 3), np.uint8), 3)
    for top, role in ((0.9, "object"), (0.4, "undecided")):
        shared = frame.masks * top + (1 - frame.masks) * (1 - top) / 2
        statistics = SlotStatistics(3, Geometry(SIZE, (0, 0, *SIZE)))
        statistics.add(dataclasses.replace(frame, masks=shared))
        roles = statistics.roles()
        assert roles == ["background", role, "unused"]
        assert statistics.rows(roles)[1]["mean_mask"] == pytest.approx(top, abs=1e-3)


def test_a_model_that_names_its_objects_is_taken_at_its_word_however_small_they_are():
    labels, image = np.zeros((64, 64), int), np.zeros((64, 64, 3), np.uint8)
    labels[3, 3:6] = 1  # less than a thousandth of the frame
    statistics = SlotStatistics(3, Geometry((64, 64), (0, 0, 64, 64)))
    for index in range(30):
        shown = labels if index == 0 else np.zeros_like(labels)  # there for one frame of thirty
        tracks = np.array([0, 1 if index == 0 else -1, -1])
        statistics.add(dataclasses.replace(frame_of(shown, image, 3, index), tracks=tracks))
    assert statistics.roles() == ["background", "object", "unused"]
