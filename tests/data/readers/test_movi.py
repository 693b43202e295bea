"""MOVi as TensorFlow Datasets stores it: tiny files come back bit for bit, others are refused."""

from __future__ import annotations

import importlib.util
import io
import pickle
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scenewise.data import SOURCES
from scenewise.errors import InputError

spec = importlib.util.spec_from_file_location("tfrecord_writer", Path(__file__).parents[1] / "tfrecord_writer.py")
writer = importlib.util.module_from_spec(spec)
spec.loader.exec_module(writer)

TIME, SIZE, COUNT = 6, (8, 10), 3


def read(path, split="train", **settings):
    return SOURCES.get("movi")(split, path=str(path), **settings)


def png(array):
    out = io.BytesIO()
    Image.fromarray(array).save(out, "PNG")
    return out.getvalue()


def clip(rng, size=SIZE, count=COUNT):
    """Return video (T, H, W, 3), ids (T, H, W) and the features of a record; instance 2 is away in frames 1 to 3."""
    video = rng.integers(0, 256, (TIME, *size, 3)).astype(np.uint8)
    ids = rng.integers(0, count + 1, (TIME, *size)).astype(np.uint8)
    ids[1:4][ids[1:4] == 2] = 0
    lengths = np.array([TIME, TIME - 3, TIME])[:count]
    seen = np.concatenate([np.arange(TIME), [0, 4, 5], np.arange(TIME)])[: lengths.sum()]
    features = {
        "video": [png(frame) for frame in video],
        "segmentations": [png(frame) for frame in ids],
        "depth": [png(rng.integers(0, 65536, size).astype(np.uint16)) for _ in range(TIME)],
        "forward_flow": rng.integers(0, 65536, (TIME, *size, 2)),
        "metadata/num_instances": np.array([count]),
        "metadata/num_frames": np.array([TIME]),
        "metadata/video_name": [b"clip 7"],
        "instances/bboxes_3d": rng.random((count, TIME, 8, 3)).astype(np.float32),
        "events/collisions/frame": np.array([2, 3]),
        "events/collisions/instances": np.array([[0, 1], [1, 65535]]),
        "metadata/depth_range": np.array([1.0, 11.0], np.float32),
        "metadata/forward_flow_range": np.array([-2.0, 2.0], np.float32),
        "camera/positions": rng.random((TIME, 3)).astype(np.float32),
        "camera/focal_length": np.array([35.0], np.float32),
        "instances/positions": rng.random((count, TIME, 3)).astype(np.float32),
        "instances/visibility": rng.integers(0, 50, (count, TIME)),
        "instances/color": rng.random((count, 3)).astype(np.float32),
        "instances/shape_label": np.arange(count),
        "instances/asset_id": [b"cup", b"box", b"car"][:count],
        "instances/bboxes/ragged_flat_values": rng.random((len(seen), 4)).astype(np.float32),
        "instances/bboxes/ragged_row_lengths_0": lengths,
        "instances/bbox_frames/ragged_flat_values": seen,
        "instances/bbox_frames/ragged_row_lengths_0": lengths,
    }
    return video, ids, features


def write(folder, split="train", shards=(2, 3), name="movi_a", of=None, **changes):
    rng = np.random.default_rng(3)
    clips = []
    for number, count in enumerate(shards):
        made = [clip(rng) for _ in range(count)]
        clips += made
        changed = [{k: v for k, v in {**features, **changes}.items() if v is not None} for _, _, features in made]
        path = folder / f"{name}-{split}.tfrecord-{number:05d}-of-{of or len(shards):05d}"
        writer.write(path, [writer.example(features) for features in changed], packed=False)
    (folder / "dataset_info.json").write_text("{}")
    return clips


def test_bit_for_bit_across_files(tmp_path):
    clips = write(tmp_path)
    source = read(tmp_path)
    assert len(source) == 5
    assert (source.facts.frames, source.facts.size, source.facts.max_objects) == (TIME, SIZE, 10)
    for index in (4, 1, 2, 0, 3):
        video, ids, _features = clips[index]
        sample = source.sample(index)
        assert np.array_equal(sample.frames, np.moveaxis(video, -1, 1))
        assert np.array_equal(sample.ids, ids)
        assert sample.ids.dtype == np.int64
        part = source.sample(index, 2, 3)
        assert np.array_equal(part.frames, sample.frames[2:5])
        assert np.array_equal(part.ids, sample.ids[2:5])
        assert np.array_equal(part.extras["positions"], sample.extras["positions"][2:5])


def test_instances_and_camera(tmp_path):
    _, _, features = write(tmp_path)[3]
    extras = read(tmp_path).sample(3).extras
    assert np.array_equal(extras["positions"], np.moveaxis(features["instances/positions"], 1, 0))
    assert np.array_equal(extras["visibility"], features["instances/visibility"].T)
    assert np.array_equal(extras["color"], features["instances/color"])
    assert extras["shape_label"].tolist() == [0, 1, 2]
    assert extras["asset_id"] == ["cup", "box", "car"]
    assert np.array_equal(extras["camera_positions"], features["camera/positions"])
    assert extras["camera_focal_length"].tolist() == [35]
    assert extras["instances"] == COUNT
    assert np.array_equal(extras["bboxes_3d"], np.moveaxis(features["instances/bboxes_3d"], 1, 0))
    assert extras["collisions"]["instances"].tolist() == [[0, 1], [1, 65535]]
    assert extras["collisions"]["frame"].tolist() == [2, 3]
    assert extras["video"] == "clip 7"
    boxes, flat = extras["boxes"], features["instances/bboxes/ragged_flat_values"]
    assert np.isnan(boxes[1:4, 1]).all()
    assert not np.isnan(boxes[:, [0, 2]]).any()
    assert np.array_equal(boxes[[0, 4, 5], 1], flat[6:9])
    assert np.array_equal(boxes[:, 2], flat[9:])


def test_layers_come_in_their_units(tmp_path):
    _, _, features = write(tmp_path)[0]
    sample = read(tmp_path, layers=["depth", "forward_flow"], size=[4, 5]).sample(0, 1, 2)
    assert sample.extras["depth"].shape == (2, *SIZE)
    assert 1 <= sample.extras["depth"].min() < 3 < 9 < sample.extras["depth"].max() <= 11
    assert np.allclose(sample.extras["forward_flow"], features["forward_flow"][1:3] / 65535 * 4 - 2, atol=1e-5)
    with pytest.raises(InputError, match="expected a feature 'backward_flow'"):
        read(tmp_path, layers=["backward_flow"]).sample(0)


def test_only_some_instances_and_size(tmp_path):
    _, ids, _ = write(tmp_path)[0]
    source = read(tmp_path, most_ids=2, size=[4, 5])
    assert source.facts.max_objects == 2
    expected = np.where(ids > 2, 0, ids)[:, 1::2, 1::2]
    assert np.array_equal(source.sample(0).ids, expected)


def test_scenes_without_instances_or_masks(tmp_path):
    none = {key: None for key in clip(np.random.default_rng(0))[2] if key.startswith("instances")}
    write(tmp_path, **none, **{"metadata/num_instances": np.array([0])})
    assert read(tmp_path).sample(0).extras["instances"] == 0
    folder = tmp_path / "plain"
    folder.mkdir()
    write(folder, segmentations=None)
    source = read(folder)
    assert not source.facts.has_ids
    assert source.sample(0).ids is None


def test_splits_are_files(tmp_path):
    write(tmp_path)
    write(tmp_path, "validation", (2,))
    assert len(read(tmp_path, "validation")) == 2
    assert len(read(tmp_path, train=[1, 4])) == 3
    with pytest.raises(InputError, match=r"like movi_a-test.*found movi_a-train \(2 files\), movi_a-validation \(1"):
        read(tmp_path, "test")
    write(tmp_path, name="movi_b")
    with pytest.raises(InputError, match="one set per folder"):
        read(tmp_path)
    one = tmp_path / "movi_b-train.tfrecord-00001-of-00002"
    assert len(read(one)) == 3
    with pytest.raises(InputError, match="file of split train, test was asked for"):
        read(one, "test")


def test_missing_files(tmp_path):
    write(tmp_path, of=3)
    with pytest.raises(InputError, match=r"expected 3 files of split train, found 2.*partial=true"):
        read(tmp_path)
    assert len(read(tmp_path, partial=True)) == 5
    with pytest.raises(InputError, match="no such file or folder"):
        read(tmp_path / "absent")
    path = tmp_path / "movi_a-train.tfrecord-00001-of-00003"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"00001-of-00003.*incomplete"):
        read(tmp_path, partial=True)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"video": None}, "expected a feature 'video', found camera"),
        ({"video": [b"no picture"] * TIME}, "video: expected a PNG picture"),
        (
            {"video": [png(np.zeros((*SIZE, 3), np.uint8))] * 3 + [png(np.zeros((9, 9, 3), np.uint8))] * 3},
            "found .9, 9",
        ),
        (
            {"segmentations": [png(np.zeros(SIZE, np.uint8))] * 2},
            "segmentations: expected at least 6 pictures, found 2",
        ),
        ({"segmentations": [png(np.zeros((*SIZE, 3), np.uint8))] * TIME}, r"expected pictures of shape \(8, 10, 1\)"),
        ({"instances/bboxes/ragged_row_lengths_0": np.array([1, 1, 1])}, "do not agree"),
        ({"metadata/num_instances": np.zeros(1, np.float32)}, "num_instances: expected whole numbers, found floats"),
    ],
)
def test_other_files_are_refused(tmp_path, changes, says):
    write(tmp_path, **changes)
    with pytest.raises(InputError, match=says):
        read(tmp_path).sample(0)


def test_workers_and_memory(tmp_path):
    write(tmp_path)
    source = read(tmp_path)
    first = source.sample(4)
    assert np.array_equal(pickle.loads(pickle.dumps(source)).sample(4).frames, first.frames)
    rng = np.random.default_rng(0)
    payload = writer.example(clip(rng, (256, 256))[2])
    path = tmp_path / "movi_e-train.tfrecord-00000-of-00001"
    with path.open("wb") as file:  # 1 GB; what is never written takes no space
        count = 10**9 // len(payload) + 1
        for record in range(count):
            file.seek(record * (len(payload) + 16))
            head = len(payload).to_bytes(8, "little") + bytes(4)
            file.write(head + payload if record in (0, count - 1) else head)
        file.truncate(count * (len(payload) + 16))
    tracemalloc.start()
    sample = read(path).sample(count - 1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 * (len(payload) + sample.frames.nbytes + sample.ids.nbytes)
