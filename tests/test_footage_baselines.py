"""The comparison with what is used on fixed cameras: its tracker, its scores and its scenes."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("cv2")
pytest.importorskip("motmetrics")


@pytest.fixture(scope="module")
def scripts():
    """Return the two modules of the comparison."""
    folder = str(Path(__file__).parents[1] / "scripts")
    sys.path.insert(0, folder)
    try:
        yield importlib.import_module("footage_baselines"), importlib.import_module("footage_scenes")
    finally:
        sys.path.remove(folder)


def squares(frames=10):
    """One square that goes right, ids (T, H, W)."""
    ids = np.zeros((frames, 24, 48), np.int32)
    for t in range(frames):
        ids[t, 4:14, 2 * t : 2 * t + 10] = 1
    return ids


def part_of(scripts, ids):
    baselines, scenes = scripts
    scene = scenes.Scene("squares", np.zeros((*ids.shape, 3), np.uint8), ids)
    return baselines.Part(scene, np.arange(len(ids)), "all")


def test_tracks_that_pass_each_other_keep_their_numbers(scripts):
    sort = scripts[0].Sort()
    told = [sort.update(np.array([[2.0 * t, 0, 2 * t + 12, 10], [60 - 2.0 * t, 6, 72 - 2 * t, 20]])) for t in range(30)]
    assert told == [[1, 2]] * 30


def test_a_track_waits_a_few_frames_and_no_longer(scripts):
    box, nothing = np.array([[5.0, 5, 15, 15]]), np.zeros((0, 4))
    for absent, expected in ((3, [1]), (8, [2])):
        sort = scripts[0].Sort()
        sort.update(box)
        for _ in range(absent):
            assert sort.update(nothing) == []
        assert sort.update(box) == expected


def test_the_truth_scores_best(scripts):
    ids = squares()
    values = scripts[0].scores(ids * 7, part_of(scripts, ids))
    for name in ("F-ARI", "F-ARI video", "ARI", "IDF1", "MOTA", "HOTA"):
        assert values[name] == pytest.approx(1), name
    assert values["count error"] == values["ID switches"] == 0


def test_a_track_that_breaks_in_the_middle(scripts):
    """One object, two tracks of five frames: IDTP 5 of 10; association 5 / (10 + 5 - 5) = 1/2, detection 1."""
    ids = squares()
    labels = ids.copy()
    labels[5:] *= 2
    values = scripts[0].scores(labels, part_of(scripts, ids))
    assert values["IDF1"] == pytest.approx(0.5)
    assert values["ID switches"] == 1
    assert values["HOTA"] == pytest.approx(np.sqrt(0.5))
    assert values["F-ARI"] == pytest.approx(1)
    assert values["F-ARI video"] == pytest.approx(0)


def test_hota_falls_with_the_overlap(scripts):
    """A mask of 4 of 10 columns has IoU .4: right at the levels .05 to .40, eight of nineteen."""
    ids = squares()
    labels = np.zeros_like(ids)
    for t in range(10):
        labels[t, 4:14, 2 * t : 2 * t + 4] = 1
    assert scripts[0].hota(labels, ids) == pytest.approx(8 / 19)


@pytest.mark.parametrize("kind", ["sprites", "belt", "table"])
def test_scenes_are_the_same_again_and_still_where_nothing_is(scripts, kind):
    one, again = (getattr(scripts[1], kind)(40, np.random.default_rng(3)) for _ in range(2))
    assert np.array_equal(one.frames, again.frames)
    assert np.array_equal(one.ids, again.ids)
    assert one.ids.max() >= 2
    empty = (one.ids == 0).all(0)
    if kind != "belt":  # where shadows are nobody's
        assert one.frames[:, empty].astype(float).std(0).mean() < 6


def test_an_object_that_stands_most_of_the_time_is_in_the_median_only(scripts):
    """The reason for the emptiest picture, at the size of a test."""
    baselines, scenes = scripts
    scene = scenes.table(120, np.random.default_rng([0, 2]))
    text = baselines.table([baselines.Part(scene, np.arange(0, 120, 4), "all")], {})
    rows = {row.split("|")[2].strip(): row.split("|") for row in text.splitlines()[2:]}
    f_ari = {name: float(row[3]) for name, row in rows.items()}
    assert f_ari["emptiest-picture difference"] > 0.9
    assert f_ari["median difference"] < 0.5
    assert len(f_ari) == 3


def test_numbers_of_the_table(scripts):
    values = (0.054, -0.12, 10.03, 1.0, 7, np.int64(10))
    assert [scripts[0].number(value) for value in values] == [".05", "-.12", "10.03", "1.00", "7", "10"]
