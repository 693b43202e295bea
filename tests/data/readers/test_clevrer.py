"""CLEVRER's files: videos, annotations and predicted masks; predictions are ids only where asked for."""

from __future__ import annotations

import json
import pickle
import tracemalloc

import numpy as np
import pytest

from scenewise.data import SOURCES
from scenewise.errors import InputError
from scenewise.media import VideoWriter, encode_rle, read_video

TIME, SIZE = 12, (32, 48)
OBJECTS = [("red", "metal", "cube"), ("blue", "rubber", "sphere"), ("cyan", "metal", "sphere")]


def read(path, split="train", **settings):
    return SOURCES.get("clevrer-files")(split, path=str(path), **{"frames": TIME, **settings})


def boxes(frame, number):
    """Return the mask of object 0, 1 or 2 in a frame; 1 overlaps 0, 2 is away in the first frames."""
    mask = np.zeros(SIZE, bool)
    if number < 2 or frame > 4:
        top, left = ((2 + frame, 4), (8, 8), (22, 30))[number]
        mask[top : top + 8, left : left + 10] = True
    return mask


def write_video(path, frames=TIME):
    path.parent.mkdir(parents=True, exist_ok=True)
    with VideoWriter(path, SIZE, 25.0) as writer:
        for frame in range(frames):
            image = np.full((*SIZE, 3), 90, np.uint8)
            for number in range(3):
                image[boxes(frame, number)] = (200 * (number == 0), 200 * (number == 1), 255)
            writer.write(image)


def annotation():
    """The objects are listed backwards, and object 2 is outside the view at first."""
    properties = [
        {"object_id": n, **dict(zip(("color", "material", "shape"), OBJECTS[n], strict=True))} for n in (2, 1, 0)
    ]
    motion = [
        {
            "frame_id": frame,
            "objects": [
                {
                    "object_id": n,
                    "location": [frame, n, 0.5],
                    "velocity": [0, 0, n],
                    "inside_camera_view": n < 2 or frame > 4,
                }
                for n in (1, 0, 2)
            ],
        }
        for frame in range(TIME)
    ]
    collision = [{"object_ids": [0, 1], "frame_id": 3, "location": [0, 0, 0]}]
    return {"scene_index": 0, "object_property": properties, "motion_trajectory": motion, "collision": collision}


def proposals(named="frame_filename"):
    frames = []
    for frame in range(TIME):
        things = [
            {**dict(zip(("color", "material", "shape"), OBJECTS[n], strict=True)), "mask": encode_rle(boxes(frame, n))}
            for n in (1, 0, 2)
            if boxes(frame, n).any() and (frame, n) != (7, 0)  # one is missed
        ]
        name = f"video_00000_{frame:05d}.png" if named == "frame_filename" else frame
        frames.append({named: name, "objects": things})
    return {"frames": frames[::-1], "ground_truth": {"objects": [], "collisions": []}}


@pytest.fixture
def root(tmp_path):
    """The layout as unzipped, two training videos in folders, one validation video."""
    for number in (0, 1):
        write_video(tmp_path / "video_train" / "video_00000-01000" / f"video_{number:05d}.mp4")
        place = tmp_path / "annotation_train" / "annotation_00000-01000" / f"annotation_{number:05d}.json"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(json.dumps(annotation()))
        (tmp_path / "processed_proposals").mkdir(exist_ok=True)
        (tmp_path / "processed_proposals" / f"sim_{number:05d}.json").write_text(json.dumps(proposals()))
    write_video(tmp_path / "video_validation" / "video_10000-11000" / "video_10001.mp4")
    return tmp_path


def expected_ids(first_wins):
    ids = np.zeros((TIME, *SIZE), np.int64)
    for frame in range(TIME):
        for number in reversed(first_wins):
            if (frame, number) != (7, 0):
                ids[frame][boxes(frame, number)] = number + 1
    return ids


def test_videos_and_annotations(root):
    source = read(root)
    assert (len(source), source.facts.size, source.facts.has_ids) == (2, SIZE, False)
    sample, videos = source.sample(1), sorted(root.rglob("*.mp4"))
    images = np.stack([frame.image for frame in read_video(videos[1])])
    assert np.array_equal(sample.frames, np.moveaxis(images, -1, 1))
    assert sample.ids is None
    extras = sample.extras
    assert [thing["color"] for thing in extras["objects"]] == ["red", "blue", "cyan"]
    assert np.array_equal(extras["location"][5], [[5, 0, 0.5], [5, 1, 0.5], [5, 2, 0.5]])
    assert extras["seen"].sum(0).tolist() == [TIME, TIME, TIME - 5]
    assert extras["collisions"][0]["frame_id"] == 3
    assert extras["video"] == 1
    part = source.sample(1, 4, 3)
    assert np.array_equal(part.frames, sample.frames[4:7])
    assert np.array_equal(part.extras["location"], extras["location"][4:7])


def test_videos_are_cut_to_where_all_objects_are_in_view(root):
    source = read(root, trim=6)
    assert (len(source), source.facts.frames) == (2, 6)
    whole, cut = read(root).sample(1), source.sample(1)
    assert np.array_equal(cut.frames, whole.frames[5:11])  # object 2 comes in at frame 5
    assert cut.extras["seen"].all()
    assert cut.extras["frames"].tolist() == list(range(5, 11))
    assert np.array_equal(source.sample(1, 2, 3).frames, whole.frames[7:10])
    ids = read(root, trim=6, proposals=str(root / "processed_proposals"), predictions_as_ids=True).sample(0).ids
    assert np.array_equal(ids, expected_ids([1, 0, 2])[5:11])
    assert source.fingerprint() != read(root).fingerprint()


def test_videos_are_chosen_by_their_annotations(root):
    place = root / "annotation_train" / "annotation_00000-01000" / "annotation_00001.json"
    known = annotation()
    for frame in known["motion_trajectory"][9:]:
        frame["objects"][0]["inside_camera_view"] = False
    place.write_text(json.dumps(known))  # all are in view in frames 5 to 8
    assert [read(root, trim=trim).sample(0).extras["video"] for trim in (4, 5)] == [0, 0]
    assert [len(read(root, trim=trim)) for trim in (4, 5)] == [2, 1]
    assert read(root, trim=4).sample(1).extras["seen"].all()
    assert len(read(root, min_objects=3, max_objects=5)) == 2
    assert read(root, min_objects=3, max_objects=5).facts.max_objects == 5
    for settings in ({"trim": 8}, {"min_objects": 4}, {"max_objects": 2}):
        with pytest.raises(InputError, match=r"no video has \d to .* objects, all in view for \d frames"):
            read(root, **settings)
    with pytest.raises(InputError, match="expected an annotation of video 10001, found none"):
        read(root, "validation", trim=4)


def test_predictions_are_no_ids_unless_asked_for(root):
    folder = str(root / "processed_proposals")
    plain = read(root, proposals=folder)
    assert not plain.facts.has_ids
    sample = plain.sample(0)
    assert sample.ids is None
    expected = expected_ids([1, 0, 2])
    assert np.array_equal(sample.extras["predicted_ids"], expected)
    taken = read(root, proposals=folder, predictions_as_ids=True)
    assert taken.facts.has_ids
    assert "PREDICTIONS" in taken.facts.origin
    assert np.array_equal(taken.sample(0).ids, expected)
    assert np.array_equal(taken.sample(0, 6, 3).ids, expected[6:9])
    assert not (taken.sample(0).ids[7] == 1).any()
    assert taken.sample(0).extras["objects_by_id"] == OBJECTS
    assert taken.fingerprint() != plain.fingerprint()
    with pytest.raises(InputError, match=r"needs masks. Give proposals"):
        read(root, predictions_as_ids=True)


def test_predictions_without_annotations_are_numbered_as_they_appear(root):
    (root / "processed_proposals" / "proposal_10001.json").write_text(json.dumps(proposals("frame_index")))
    source = read(root, "validation", proposals=str(root / "processed_proposals"), predictions_as_ids=True)
    sample = source.sample(0)
    assert sample.extras["objects_by_id"] == [OBJECTS[1], OBJECTS[0], OBJECTS[2]]
    expected = np.array([0, 2, 1, 3])[expected_ids([1, 0, 2])]
    assert np.array_equal(sample.ids, expected)
    assert np.array_equal(source.sample(0, 7, 1).ids, expected[7:8])


def test_crop_and_size_keep_ids_whole(root):
    source = read(
        root, proposals=str(root / "processed_proposals"), predictions_as_ids=True, crop=[0, 8, 32, 32], size=[16, 16]
    )
    sample = source.sample(0)
    assert np.array_equal(sample.ids, expected_ids([1, 0, 2])[:, 1::2, 9:40:2])
    assert sample.frames.shape == (TIME, 3, 16, 16)
    assert source.facts.size == (16, 16)


def test_layout_of_slotformer(root, tmp_path):
    for old, new in (("video_train", "videos/train"), ("annotation_train", "annotations/train")):
        (tmp_path / new).parent.mkdir(exist_ok=True)
        (root / old).rename(tmp_path / new)
    assert len(read(tmp_path)) == 2
    assert "location" in read(tmp_path).sample(0).extras


def test_skipped_videos_and_splits(root):
    write_video(root / "video_validation" / "video_10000-11000" / "video_10800.mp4")
    assert read(root, "validation").sample(0).extras["video"] == 10_001
    assert len(read(root, "validation")) == 1
    assert len(read(root, "validation", skip=[])) == 2
    assert read(root, train=[1, 2]).sample(0).extras["video"] == 1
    with pytest.raises(InputError, match=r"expected video_test or videos/test, found annotation_train"):
        read(root, "test")


def test_damage(root):
    place = root / "annotation_train" / "annotation_00000-01000" / "annotation_00000.json"
    for text, says in (
        (place.read_text()[:200], r"annotation_00000\.json: expected a JSON annotation.*number of the video to skip"),
        ('{"object_property": []}', "expected object_property, motion_trajectory"),
    ):
        place.write_text(text)
        with pytest.raises(InputError, match=says):
            read(root).sample(0)
    assert len(read(root, skip=[0]).sample(0).frames) == TIME
    with pytest.raises(InputError, match="expected frames 0 to 19, found 12"):
        read(root, frames=20, skip=[0]).sample(0)
    video = root / "video_train" / "video_00000-01000" / "video_00001.mp4"
    video.write_bytes(video.read_bytes()[:200])
    with pytest.raises(InputError, match=r"video_00001\.mp4"):
        read(root, skip=[0])
    video.unlink()
    with pytest.raises(InputError, match=r"expected video_00000\.mp4 and so on"):
        read(root, skip=[0])
    with pytest.raises(InputError, match="no such folder"):
        read(root / "absent")


def test_masks_that_do_not_fit(root):
    folder = root / "processed_proposals"
    source = read(root, proposals=str(folder))
    made = proposals()
    made["frames"][0]["objects"][0]["mask"] = encode_rle(np.ones((4, 4), bool))
    for text, says in (
        (json.dumps(made), r"frame 11: expected masks of \(32, 48\) as the video, found \(4, 4\)"),
        (json.dumps({"objects": []}), "expected frames of objects"),
        ("{", "expected a JSON file of predicted masks"),
    ):
        (folder / "sim_00000.json").write_text(text)
        with pytest.raises(InputError, match=says):
            source.sample(0)
    (folder / "sim_00000.json").unlink()
    with pytest.raises(InputError, match="expected masks of video 0, found none"):
        read(root, proposals=str(folder)).sample(0)
    with pytest.raises(InputError, match="no such folder"):
        read(root, proposals=str(root / "absent"))


def test_workers_and_memory(root):
    source = read(root)
    sample = source.sample(1)
    again = pickle.loads(pickle.dumps(source)).sample(1)
    assert np.array_equal(again.frames, sample.frames)
    write_video(root / "video_test" / "video_15000-16000" / "video_15000.mp4", 400)
    source = read(root, "test", frames=400)
    source.sample(0, 0, 1)
    tracemalloc.start()
    part = source.sample(0, 300, 5)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 * part.frames.nbytes


def test_a_video_without_objects(root):
    place = root / "annotation_train" / "annotation_00000-01000" / "annotation_00000.json"
    motion = [{"frame_id": frame, "objects": []} for frame in range(TIME)]
    place.write_text(json.dumps({"object_property": [], "motion_trajectory": motion, "collision": []}))
    folder = root / "processed_proposals"
    frames = [{"frame_index": frame, "objects": []} for frame in range(TIME)]
    (folder / "sim_00000.json").write_text(json.dumps({"frames": frames}))
    sample = read(root, proposals=str(folder), predictions_as_ids=True).sample(0)
    assert sample.ids.shape == (TIME, *SIZE)
    assert not sample.ids.any()
    assert sample.extras["objects"] == []
    assert sample.extras["seen"].shape == (TIME, 0)


def test_annotations_of_look_alikes(root):
    """Some generators write `collisions`, and leave out what CLEVRER has of motion."""
    place = root / "annotation_train" / "annotation_00000-01000" / "annotation_00000.json"
    known = annotation()
    known["collisions"] = known.pop("collision")
    for frame in known["motion_trajectory"]:
        for thing in frame["objects"]:
            del thing["velocity"]
    place.write_text(json.dumps(known))
    extras = read(root).sample(0).extras
    assert extras["collisions"][0]["frame_id"] == 3
    assert "velocity" not in extras
    assert extras["location"].shape == (TIME, 3, 3)
