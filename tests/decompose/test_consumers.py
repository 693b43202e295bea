"""What is written is taken by those who read such files: pycocotools, motmetrics, TrackEval, supervision, datumaro."""

import csv
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

import scenewise as sw
from scenewise.checkpoint import Card
from scenewise.data.readers.mot import read_boxes
from scenewise.decompose import Decomposer
from scenewise.errors import InputError
from scenewise.media import VideoWriter, encode_rle, read_palette_png

BOX = ["X", "Y", "Width", "Height"]
LARGE = (96, 160)
CROP = (8, 16, 64, 128)  # shown to the oracle at 16 x 16: its pixels are 4 by 8 of the source


def in_source(mask):
    """A mask of the oracle's 16 x 16 pixels in those of the large video."""
    picture = np.zeros(LARGE, bool)
    picture[8:72, 16:144] = mask.repeat(4, 0).repeat(8, 1)
    return picture


@pytest.fixture(scope="module")
def scene():
    from .conftest import balls

    return balls()


@pytest.fixture
def saved(oracle, scene, tmp_path):
    """Results of the squares inside a larger video: slot 0 is background, objects 2 and 3 move, slot 3 is unused."""
    images, _ = scene
    large = np.zeros((12, *LARGE, 3), np.uint8)
    large[:, 8:72, 16:144] = images.repeat(4, 1).repeat(8, 2)
    np.save(tmp_path / "large.npy", large)
    result = oracle.decompose(tmp_path / "large.npy", layout="THWC", crop=CROP, name="squares")
    result.save(tmp_path / "out")
    return result, tmp_path / "out"


@pytest.fixture
def truth(scene):
    """Masks in source pixels by (frame, track id)."""
    return {(t, k + 1): in_source(ids == k) for t, ids in enumerate(scene[1]) for k in (1, 2)}


def coco_of(path, capsys):
    data = COCO(str(path))
    capsys.readouterr()
    return data


# -- one number per object ---------------------------------------------------------------------------------------------


def test_an_object_has_one_number_in_all_files(saved, capsys):
    result, folder = saved
    record = json.loads((folder / "run.json").read_text())
    assert record["track_ids"] == result.summary.track_ids == [0, 2, 3, 0]
    assert [row["track_id"] for row in json.loads((folder / "slots.json").read_text())["slots"]] == [0, 2, 3, 0]
    with np.load(folder / "labels.npz") as archive:
        labels, track_ids = archive["labels"], archive["track_ids"]
    data = coco_of(folder / "masks.json", capsys)
    boxes = {(int(r[0]), int(r[1])): r for r in csv.reader((folder / "tracks.csv").open())}
    for t, frame in enumerate(labels):
        image = read_palette_png(folder / "masks" / f"{t:05d}.png")
        np.testing.assert_array_equal(image, track_ids[t][frame])
        found = [a for a in data.imgToAnns[t + 1] if a["category_id"] == 1]
        assert [a["track_id"] for a in found] == [2, 3]
        for entry in found:
            np.testing.assert_array_equal(data.annToMask(entry).astype(bool), in_source(image == entry["track_id"]))
            left, top, width, height = (float(cell) for cell in boxes[t + 1, entry["track_id"]][2:6])
            assert [left - 1, top - 1, width, height] == entry["bbox"]


# -- COCO --------------------------------------------------------------------------------------------------------------


def test_pycocotools_reads_masks_and_results(saved, truth, capsys):
    data = coco_of(saved[1] / "masks.json", capsys)
    assert {i["id"]: (i["height"], i["width"]) for i in data.imgs.values()} == dict.fromkeys(range(1, 13), LARGE)
    assert [c["name"] for c in data.loadCats(data.getCatIds())] == ["object", "background"]
    for (t, track_id), mask in truth.items():
        (entry,) = (a for a in data.imgToAnns[t + 1] if a["track_id"] == track_id)
        np.testing.assert_array_equal(data.annToMask(entry).astype(bool), mask)
        assert entry["area"] == mask.sum()
    (ground,) = (a for a in data.imgToAnns[1] if a["category_id"] == 2)
    np.testing.assert_array_equal(
        data.annToMask(ground).astype(bool), in_source(np.ones((16, 16))) & ~truth[0, 2] & ~truth[0, 3]
    )
    results = data.loadRes(str(saved[1] / "masks_results.json"))
    scores = COCOeval(data, results, "segm")
    scores.params.catIds = [1]
    scores.evaluate()
    scores.accumulate()
    scores.summarize()
    capsys.readouterr()
    assert scores.stats[0] == pytest.approx(1)


def test_supervision_reads_the_data_set(saved, truth, tmp_path):
    sv = pytest.importorskip("supervision")
    data = sv.DetectionDataset.from_coco(str(tmp_path), str(saved[1] / "masks.json"), force_masks=True)
    assert data.classes == ["object", "background"]
    assert len(data) == 12
    for t in range(12):
        detections = data.annotations[str(tmp_path / f"{t:05d}.png")]
        found = detections[detections.class_id == 0]
        np.testing.assert_array_equal(found.mask, np.stack([truth[t, 2], truth[t, 3]]))
        last_pixels = sv.mask_to_xyxy(found.mask)
        np.testing.assert_array_equal(found.xyxy, last_pixels + np.array([0, 0, 1, 1]))  # a box ends at an edge


def test_datumaro_reads_the_data_set(saved, truth, tmp_path):
    datumaro = pytest.importorskip("datumaro", exc_type=ImportError)
    (tmp_path / "set" / "annotations").mkdir(parents=True)
    (tmp_path / "set" / "images").mkdir()
    shutil.copy(saved[1] / "masks.json", tmp_path / "set" / "annotations" / "instances_default.json")
    data = datumaro.Dataset.import_from(str(tmp_path / "set"), "coco_instances")
    items = sorted(data, key=lambda item: item.id)
    assert [item.id for item in items] == [f"{t:05d}" for t in range(12)]
    for t, item in enumerate(items):
        masks = {a.attributes["track_id"]: a for a in item.annotations if a.type.name == "mask"}
        assert sorted(masks) == [0, 2, 3]
        for track_id in (2, 3):
            np.testing.assert_array_equal(masks[track_id].image.astype(bool), truth[t, track_id])
            assert masks[track_id].attributes["score"] == 1


# -- MOT ---------------------------------------------------------------------------------------------------------------


def mot_rows(truth):
    """Rows of the true boxes as the MOT challenge counts: frames and pixels from 1."""
    rows = []
    for (t, track_id), mask in truth.items():
        ys, xs = np.nonzero(mask)
        box = (xs.min() + 1, ys.min() + 1, xs.max() - xs.min() + 1, ys.max() - ys.min() + 1)
        rows.append(",".join(map(str, (t + 1, track_id, *box, 1, 1, 1))))
    return "\n".join(rows) + "\n"


def test_motmetrics_finds_every_box_in_its_place(saved, truth, tmp_path):
    mm = pytest.importorskip("motmetrics")
    (tmp_path / "gt.txt").write_text(mot_rows(truth))
    gt, found = (mm.io.loadtxt(str(p), fmt="mot15-2D") for p in (tmp_path / "gt.txt", saved[1] / "tracks.csv"))
    matches = mm.MOTAccumulator()
    for t in range(1, 13):
        (true_ids, true), (ids, ours) = ((rows.loc[t].index, rows.loc[t, BOX].to_numpy(float)) for rows in (gt, found))
        apart = np.abs(true[:, None] - ours[None]).max(-1)
        matches.update(true_ids, ids, np.where(apart < 0.5, apart, np.nan), t)  # a box off by a pixel is no match
    row = mm.metrics.create().compute(matches, metrics=["mota", "idf1", "motp"], name="squares").loc["squares"]
    assert row.to_list() == [1, 1, 0]
    assert matches.mot_events.query("Type == 'MATCH'").eval("OId == HId").all()


def test_trackeval_scores_the_tracks(saved, truth, tmp_path):
    trackeval = pytest.importorskip("trackeval")
    (tmp_path / "gt" / "squares" / "gt").mkdir(parents=True)
    (tmp_path / "gt" / "squares" / "gt" / "gt.txt").write_text(mot_rows(truth))
    (tmp_path / "gt" / "squares" / "seqinfo.ini").write_text("[Sequence]\nname=squares\nseqLength=12\n")
    (tmp_path / "trackers" / "ours" / "data").mkdir(parents=True)
    shutil.copy(saved[1] / "tracks.csv", tmp_path / "trackers" / "ours" / "data" / "squares.txt")
    data = trackeval.datasets.MotChallenge2DBox(
        {
            "GT_FOLDER": str(tmp_path / "gt"),
            "TRACKERS_FOLDER": str(tmp_path / "trackers"),
            "SKIP_SPLIT_FOL": True,
            "SEQ_INFO": {"squares": 12},
            "DO_PREPROC": False,
            "PRINT_CONFIG": False,
        }
    )
    raw = data.get_raw_seq_data("ours", "squares")
    scores = trackeval.metrics.HOTA().eval_sequence(data.get_preprocessed_seq_data(raw, "pedestrian"))
    assert scores["HOTA"].mean() == pytest.approx(1)
    assert scores["LocA"].mean() == pytest.approx(1)


@pytest.mark.parametrize("size", [None, 24, (10, 12)])
def test_our_own_reader_gets_the_boxes_back(oracle, scene, tmp_path, size):
    result = oracle.decompose(scene[0], size=size)
    result.save(tmp_path / "out", ["tracks"])
    boxes = read_boxes(tmp_path / "out" / "tracks.csv")
    assert boxes.tracks == [2, 3]
    down, across = 16 / result.size[0], 16 / result.size[1]
    for t, labels in enumerate(result.labels):
        for row, k in zip(boxes.rows[t], (1, 2), strict=True):
            ys, xs = np.nonzero(labels == k)
            expected = (xs.min() * across, ys.min() * down, np.ptp(xs) * across + across, np.ptp(ys) * down + down)
            np.testing.assert_allclose(row[1:5], expected, atol=1e-9)


# -- supervision -------------------------------------------------------------------------------------------------------


def test_detections_carry_the_track_ids(saved, truth):
    sv = pytest.importorskip("supervision")
    detections = saved[0].to_supervision()
    assert len(detections) == 12
    for t, found in enumerate(detections):
        assert isinstance(found, sv.Detections)
        assert found.tracker_id.tolist() == [2, 3]
        np.testing.assert_array_equal(found.mask, np.stack([truth[t, 2], truth[t, 3]]))
        np.testing.assert_array_equal(found.area, found.mask.sum((1, 2)))
        assert found.confidence.tolist() == [1, 1]
    assert [d.tracker_id.tolist() for d in detections[-2:]] == [[2, 3]] * 2
    first = sv.MaskAnnotator().annotate(np.zeros((*LARGE, 3), np.uint8), detections[0])
    assert first[truth[0, 2]].any()


def test_the_mot_rows_are_those_of_the_detections(saved):
    pytest.importorskip("supervision")
    boxes = read_boxes(saved[1] / "tracks.csv")
    for t, found in enumerate(saved[0].to_supervision()):
        left, top, right, bottom = found.xyxy.T
        np.testing.assert_array_equal(boxes.rows[t][:, 1:5], np.stack([left, top, right - left, bottom - top], 1))


# -- what is no object -------------------------------------------------------------------------------------------------


@pytest.fixture
def strange(tmp_path):
    """A clip of noise, which the oracle does not know."""
    random = np.random.default_rng(0)
    with VideoWriter(tmp_path / "strange.mp4", (48, 64), 12) as writer:
        for _ in range(6):
            writer.write(random.integers(0, 255, (48, 64, 3), dtype=np.uint8))
    return tmp_path / "strange.mp4"


def test_unknown_footage_has_no_rows_masks_or_tracks(oracle, strange, tmp_path, capsys):
    result = oracle.decompose(strange)
    result.save(tmp_path / "out")
    assert result.summary.verdict == "unknown footage"
    assert (tmp_path / "out" / "tracks.csv").read_text() == ""
    data = coco_of(tmp_path / "out" / "masks.json", capsys)
    assert (len(data.imgs), data.anns) == (6, {})
    assert json.loads((tmp_path / "out" / "masks_results.json").read_text()) == []
    assert not any(read_palette_png(path).any() for path in (tmp_path / "out" / "masks").iterdir())
    assert json.loads((tmp_path / "out" / "run.json").read_text())["track_ids"] == [0, 0, 0, 0]
    pytest.importorskip("supervision")
    assert [len(found) for found in result.to_supervision()] == [0] * 6


def test_an_interrupted_video_has_rows_of_the_frames_done(oracle, scene, tmp_path, capsys):
    done = []
    result = oracle.decompose(scene[0])
    result.save(tmp_path / "out", progress=lambda count, _: done.append(count), stop=lambda: len(done) == 5)
    assert sorted(p.name for p in (tmp_path / "out" / "masks").iterdir()) == [f"{t:05d}.png" for t in range(5)]
    assert len(coco_of(tmp_path / "out" / "masks.json", capsys).imgs) == 5
    assert len((tmp_path / "out" / "tracks.csv").read_text().splitlines()) == 10


def test_supervision_that_is_not_there_is_told(oracle, scene, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(InputError, match="pip install supervision"):
        oracle.decompose(scene[0][:2]).to_supervision()


def test_masks_of_the_models_own_size_are_encoded_as_they_are(oracle, scene, tmp_path):
    images, ids = scene
    oracle.decompose(images).save(tmp_path / "out", ["coco"])
    content = json.loads((tmp_path / "out" / "masks.json").read_text())
    assert content["annotations"][0]["segmentation"] == encode_rle(ids[0] == 1)


# -- the page about the files ------------------------------------------------------------------------------------------

PAGE = Path(__file__).parents[2] / "docs" / "outputs.md"
SNIPPETS = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)


@pytest.mark.parametrize("code", SNIPPETS, ids=[f"{number}" for number in range(len(SNIPPETS))])
def test_the_lines_of_the_page_run(oracle, scene, tmp_path, monkeypatch, code):
    monkeypatch.chdir(tmp_path)
    with VideoWriter("clip.mp4", (16, 16), 12) as writer:
        for image in scene[0][:3]:
            writer.write(image)
    model = Decomposer(oracle.model, Card(), "oracle")  # whose objects are objects whatever a codec does to colours
    model.decompose("clip.mp4").save("out/clip")
    monkeypatch.setattr(sw, "load", lambda name: model)
    try:
        exec(code, {})
    except ImportError as error:
        pytest.skip(str(error))
