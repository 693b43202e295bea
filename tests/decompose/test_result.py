"""What is written can be read back, whole or not at all."""

import csv
import json

import av
import numpy as np
import pytest

from scenewise.data import Sample
from scenewise.decompose import FORMATS, FrameResult
from scenewise.errors import InputError
from scenewise.media import decode_rle, read_palette_png, read_video
from scenewise.summary import Geometry, SlotStatistics

FILES = {"overlay.mp4", "masks", "masks.json", "masks_results.json", "tracks.csv", "labels.npz", "slots.json"}
FILES |= {"report.html", "run.json"}


@pytest.fixture
def saved(oracle, video, tmp_path):
    result = oracle.decompose(video, name="squares")
    return result, result.save(tmp_path / "out")


def rows_of(path):
    return [[float(cell) for cell in row] for row in csv.reader(path.open())]


def test_all_files_are_there(saved):
    result, folder = saved
    assert {p.name for p in folder.iterdir()} == FILES
    assert set(result.summary.files) == FILES
    assert [p.name for p in folder.parent.iterdir()] == ["out"]


def test_labels_come_back(saved, ids):
    with np.load(saved[1] / "labels.npz") as archive:
        np.testing.assert_array_equal(archive["labels"], ids)
        assert archive["labels"].dtype == np.uint8
        assert archive["frames"].tolist() == list(range(12))
        assert archive["track_ids"].tolist() == [[0, 2, 3, 0]] * 12


def test_mask_images_count_objects_from_one_and_background_is_zero(saved, ids):
    for t, truth in enumerate(ids):
        image = read_palette_png(saved[1] / "masks" / f"{t:05d}.png")
        np.testing.assert_array_equal(image, np.where(truth > 0, truth + 1, 0))  # slot 1 is object 2


def test_masks_come_back(saved, ids):
    content = json.loads((saved[1] / "masks.json").read_text())
    assert [category["name"] for category in content["categories"]] == ["object", "background"]
    assert [image["id"] for image in content["images"]] == list(range(1, 13))
    assert [entry["id"] for entry in content["annotations"]] == list(range(1, 12 * 3 + 1))
    for entry in content["annotations"]:
        truth = ids[entry["image_id"] - 1]
        expected = truth == entry["track_id"] - 1 if entry["category_id"] == 1 else truth == 0
        np.testing.assert_array_equal(decode_rle(entry["segmentation"]), expected)


def test_tracks_leave_the_background_out(saved):
    rows = rows_of(saved[1] / "tracks.csv")
    assert {row[1] for row in rows} == {2, 3}
    assert rows[0] == [1, 2, 1, 2, 4, 4, 1, -1, -1, -1]
    assert len(rows) == 24


def test_tracks_are_in_source_pixels(oracle, video, tmp_path):
    large = np.zeros((12, 40, 70, 3), np.uint8)
    large[:, 4:36, 3:67] = video.repeat(2, 1).repeat(4, 2)
    np.save(tmp_path / "large.npy", large)
    oracle.decompose(tmp_path / "large.npy", layout="THWC", crop=(4, 3, 32, 64)).save(tmp_path / "out", ["tracks"])
    assert rows_of(tmp_path / "out" / "tracks.csv")[0][:6] == [1, 2, 4, 7, 16, 8]


def test_the_overlay_plays(saved):
    frames = list(read_video(saved[1] / "overlay.mp4"))
    assert len(frames) == 12
    assert frames[0].image.shape == (272, 3 * 256 + 32, 3)
    middle = frames[0].image[8 + 40, 8 + 20]
    assert middle[0] > 200 > 60 > middle[1]


def test_the_record_tells_how_it_was_made(saved):
    record = json.loads((saved[1] / "run.json").read_text())
    assert record["interrupted"] is False
    assert record["settings"]["model"]["name"] == "oracle"
    assert record["settings"]["input"]["size"] == [16, 16]
    assert record["frames"] == 12
    assert record["verdict"] == "known footage"
    assert record["versions"]["torch"]
    assert record["timings"]["peak_memory_mib"] > 0


def test_formats_are_chosen(oracle, video, tmp_path):
    oracle.decompose(video).save(tmp_path / "out", ["labels", "slots"])
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"labels.npz", "slots.json", "run.json"}
    with pytest.raises(InputError, match="Did you mean 'labels'"):
        oracle.decompose(video).save(tmp_path / "other", ["label"])
    assert not (tmp_path / "other").exists()


def test_every_format_is_registered():
    assert FORMATS.names() == ["coco", "labels", "masks", "overlay", "report", "slots", "tracks"]


def test_uncertainty_is_computed_for_the_report_alone(oracle, video, tmp_path, monkeypatch):
    asked = []
    spread = FrameResult.uncertainty.fget
    monkeypatch.setattr(FrameResult, "uncertainty", property(lambda self: asked.append(1) or spread(self)))
    oracle.decompose(video).save(tmp_path / "a", ["overlay", "slots", "labels"])
    assert not asked
    oracle.decompose(video).save(tmp_path / "b", ["report"])
    assert len(asked) == 12


def test_scores_against_the_truth(oracle, video, ids, tmp_path):
    result = oracle.decompose(Sample(np.moveaxis(video, -1, 1), ids))
    result.save(tmp_path / "out", ["report"])
    scores = {(row["protocol"], row["metric"]): row["value"] for row in result.summary.scores}
    assert scores["provide", "ARI"] == scores["savi", "F-ARI"] == pytest.approx(1)
    assert scores["provide", "MSE"] == pytest.approx(0, abs=1e-9)
    assert "savi" in (tmp_path / "out" / "report.html").read_text()


def test_scores_of_a_prediction(oracle, video, ids, tmp_path):
    result = oracle.predict(Sample(np.moveaxis(video, -1, 1), ids), 4, 20)
    result.save(tmp_path / "out")
    rows = [row for row in result.summary.scores if row["protocol"] == "prediction"]
    own = [row["value"] for row in rows if row["metric"] == "MSE" and "repeated" not in row["note"]]
    copied = [row["value"] for row in rows if "repeated" in row["note"]]
    assert own == pytest.approx(copied)  # the oracle predicts that nothing moves
    assert [row["note"] for row in rows if row["metric"] == "F-ARI"][-1] == "first 8 predicted frames"
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert record["prediction"]["mse"][8:] == [None] * 12


def test_an_interruption_leaves_whole_files_of_the_frames_done(oracle, video, tmp_path):
    seen = []
    result = oracle.decompose(video)
    result.save(tmp_path / "out", progress=lambda done, total: seen.append((done, total)), stop=lambda: len(seen) == 5)
    assert seen == [(n, 12) for n in range(1, 6)]
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert record["interrupted"] is True
    assert record["frames"] == 5
    with np.load(tmp_path / "out" / "labels.npz") as archive:
        assert len(archive["labels"]) == 5
    with av.open(str(tmp_path / "out" / "overlay.mp4")) as film:
        assert sum(1 for _ in film.decode(video=0)) == 5


def test_a_failure_leaves_nothing(oracle, video, tmp_path):
    broken = [*video[:3], np.full((16, 16, 3), np.nan)]
    with pytest.raises(InputError, match="NaN"):
        oracle.decompose(broken).save(tmp_path / "a" / "b" / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_second_ctrl_c_leaves_nothing(oracle, video, tmp_path):
    def interrupted(done, total):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        oracle.decompose(video).save(tmp_path / "out", progress=interrupted)
    assert list(tmp_path.iterdir()) == []


def test_results_are_not_overwritten_unasked(oracle, video, tmp_path):
    folder = oracle.decompose(video).save(tmp_path / "out", ["slots"])
    with pytest.raises(InputError, match="--overwrite"):
        oracle.decompose(video).save(folder)
    oracle.decompose(video).save(folder, ["labels"], overwrite=True)
    assert {p.name for p in folder.iterdir()} == {"labels.npz", "run.json"}
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_short_videos_are_computed_once(tiny, video, monkeypatch):
    steps = []
    step = tiny.model.step
    monkeypatch.setattr(tiny.model, "step", lambda *a: steps.append(1) or step(*a))
    result = tiny.decompose(iter(video))
    np.testing.assert_array_equal(result.labels, result.labels)
    assert len(steps) == 12


def test_long_videos_are_computed_again(tiny, video):
    result = tiny.decompose(video)
    result.keep_bytes = 0
    np.testing.assert_array_equal(result.labels, result.labels)
    once = tiny.decompose(iter(video))
    once.keep_bytes = 0
    list(once)
    with pytest.raises(InputError, match="only once"):
        list(once)


SIZE = (16, 16)


def test_squares_on_black(oracle, video):
    statistics = SlotStatistics(4, Geometry(SIZE, (0, 0, *SIZE)))
    for frame in oracle.decompose(video):
        statistics.add(frame)
    assert statistics.roles() == ["background", "object", "object", "unused"]
    row = statistics.rows(statistics.roles())[2]
    assert row["frames_active"] == 12
    assert row["mean_area"] == pytest.approx(16 / 256)
    assert row["centroid_path"][3] == [3, 13.0, 5.0]
    assert row["mean_colour"] == [0, 1, 0]
    assert row["compactness"] > 0.9


def test_paths_are_in_source_pixels(oracle, video):
    statistics = SlotStatistics(4, Geometry(SIZE, (10, 20, 32, 64)))
    for frame in oracle.decompose(video[:1]):
        statistics.add(frame)
    assert statistics.rows(statistics.roles())[2]["centroid_path"] == [[0, 20 + 13 * 4.0, 10 + 2 * 2.0]]
