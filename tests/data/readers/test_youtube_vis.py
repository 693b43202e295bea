"""YouTube-VIS: JSON masks (RLE, polygons, null) read by an index, palette masks with gaps, and what is refused."""

from __future__ import annotations

import json
import pickle
import tracemalloc

import numpy as np
import pytest
from PIL import Image
from tests.processes import pool

from scenewise.data import SOURCES
from scenewise.data.containers import json_index
from scenewise.data.containers.json_index import entries, index_videos
from scenewise.data.readers.video import stored_mask
from scenewise.errors import InputError
from scenewise.media import encode_rle, write_palette_png
from scenewise.media.frames import load_image

SIZE, VIDEOS = (24, 40), {"0b1": 4, "fé2": 3, "zz": 5}
KINDS = [{"id": 4, "name": "dog"}, {"id": 9, "name": "sailboat — big"}]


def read(path, split="train", **settings):
    return SOURCES.get("youtube-vis")(split, path=str(path), **settings)


def mask_of(number, frame):
    """Object 0 overlaps object 1, which is away in frame 1."""
    mask = np.zeros(SIZE, bool)
    if number == 0:
        mask[2:12, 4 + frame : 20 + frame] = True
    elif frame != 1:
        mask[8:20, 10:30] = True
    return mask


def segmentation(number, frame, form):
    mask = mask_of(number, frame)
    if not mask.any():
        return None
    if form == "runs":
        flat = mask.ravel(order="F").astype(int)
        edges = np.flatnonzero(np.diff(flat, prepend=0, append=1 - flat[-1]))
        return {"size": list(SIZE), "counts": np.diff(edges, prepend=0).tolist()}
    if form == "polygons":
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
        corners = [left, top, right, top, right, bottom, left, bottom]
        return [[float(corner) for corner in corners]]
    return encode_rle(mask)


def instances(form="text"):
    """Annotations stand in no order of videos."""
    videos = [
        {
            "id": n,
            "height": SIZE[0],
            "width": SIZE[1],
            "length": count,
            "file_names": [f"{v}/{f:05d}.jpg" for f in frames],
        }
        for n, (v, count) in enumerate(VIDEOS.items(), 1)
        for frames in [range(0, 5 * count, 5)]
    ]
    annotations = [
        {
            "id": 10 * video["id"] + number,
            "video_id": video["id"],
            "category_id": KINDS[number]["id"],
            "iscrowd": 0,
            "segmentations": [segmentation(number, frame, form) for frame in range(video["length"])],
        }
        for number in (0, 1)
        for video in videos[::-1]
    ]
    return {"info": {"year": 2019}, "videos": videos, "annotations": annotations, "categories": KINDS}


def write_images(root, size=SIZE):
    for place, (video, count) in enumerate(VIDEOS.items()):
        for frame in range(0, 5 * count, 5):
            file = root / "train" / "JPEGImages" / video / f"{frame:05d}.jpg"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((*size, 3), 40 * place + 3 * frame, np.uint8)).save(file)


@pytest.fixture
def root(tmp_path):
    write_images(tmp_path)
    (tmp_path / "train" / "instances.json").write_text(json.dumps(instances(), ensure_ascii=False), "utf-8")
    return tmp_path


def expected(count, overlap="ignore"):
    ids = np.zeros((count, *SIZE), np.int64)
    for frame in range(count):
        first, second = mask_of(0, frame), mask_of(1, frame)
        ids[frame][first], ids[frame][second] = 1, 2
        if overlap == "ignore":
            ids[frame][first & second] = -1
        elif overlap == "smaller":
            ids[frame][first] = 1
    return ids


@pytest.mark.parametrize("form", ["text", "runs", "polygons"])
def test_frames_and_ids_bit_for_bit(root, form):
    (root / "train" / "instances.json").write_text(json.dumps(instances(form), indent=1))
    source = read(root)
    assert (len(source), source.facts.size, source.facts.max_objects, source.facts.overlap) == (3, SIZE, 2, "ignore")
    for index, (video, count) in enumerate(VIDEOS.items()):
        sample = source.sample(index)
        files = sorted((root / "train" / "JPEGImages" / video).iterdir())
        assert np.array_equal(sample.frames, np.moveaxis(np.stack([load_image(file) for file in files]), -1, 1))
        assert np.array_equal(sample.ids, expected(count))
        assert sample.extras["categories"] == ["dog", "sailboat — big"]
        assert sample.extras["annotation_ids"] == [10 * (index + 1), 10 * (index + 1) + 1]
        assert sample.extras["video"] == video
    assert np.array_equal(source.sample(2, 1, 3).ids, expected(5)[1:4])
    assert np.array_equal(read(root, overlap="later").sample(0).ids, expected(4, "later"))
    assert np.array_equal(read(root, overlap="smaller").sample(0).ids, expected(4, "smaller"))


def test_index_is_made_once_and_anew_for_another_file(root, monkeypatch):
    first = read(root).sample(1).ids
    kept = list((root / "train").glob("*.index"))
    assert len(kept) == 1
    monkeypatch.setattr(json_index, "search", lambda path: pytest.fail("was searched again"))
    assert np.array_equal(read(root).sample(1).ids, first)
    monkeypatch.undo()
    kept[0].write_text("{ damaged")
    assert np.array_equal(read(root).sample(1).ids, first)
    known = instances()
    known["annotations"] = known["annotations"][:3]
    (root / "train" / "instances.json").write_text(json.dumps(known))
    assert read(root).sample(1).ids.max() == 1


@pytest.mark.parametrize("chunk", [1, 7, 1 << 20])
def test_entries_whatever_is_read_at_once(root, monkeypatch, chunk):
    monkeypatch.setattr(json_index, "CHUNK", chunk)
    file = root / "few.json"
    file.write_text('{"a": [12, 345 , {"b": "ü]}"}], "none": null, "empty": [], "n": 17}', "utf-8")
    content = file.read_bytes()
    found = [(key, json.loads(text.encode("latin-1"))) for key, _, text in entries(file)]
    assert found == [("a", 12), ("a", 345), ("a", {"b": "ü]}"}), ("none", None), ("n", 17)]
    assert all(content[first : first + len(text)] == text.encode("latin-1") for _, first, text in entries(file))


def test_splits_by_folder_and_by_span(root):
    with pytest.raises(InputError, match="expected valid or val or validation with JPEGImages in it, found train"):
        read(root, "validation")
    spans = {"train": [0, 2], "test": [2, 3]}
    assert len(read(root, "train", subset="train", **spans)) == 2
    held = read(root, "test", subset="train", **spans)
    assert held.sample(0).extras["video"] == "zz"
    with pytest.raises(InputError, match="share records"):
        read(root, "test", subset="train", train=[0, 3], test=[2, 3])
    assert len(read(root / "train")) == 3, "the folder of a subset itself"
    with pytest.raises(InputError, match="train split by its name"):
        read(root / "train", "test")


def test_hidden_masks(root):
    known = instances()
    known["annotations"] = None
    (root / "train" / "instances.json").write_text(json.dumps(known))
    source = read(root)
    assert not source.facts.has_ids
    assert source.sample(0).ids is None
    assert source.sample(0).extras["categories"] == []


def test_palette_masks_of_some_frames(root):
    (root / "train" / "instances.json").unlink()
    for video in VIDEOS:
        place = root / "train" / "Annotations" / video
        place.mkdir(parents=True)
        for frame in (0, 10):
            ids = np.where(mask_of(0, frame // 5), 3, 0)
            ids[0, 0] = 255
            write_palette_png(place / f"{frame:05d}.png", ids)
    source = read(root)
    assert source.facts.frames == 2
    sample = source.sample(0)
    assert sample.extras["stems"] == ["00000", "00010"]
    assert (set(np.unique(sample.ids)), sample.ids[1, 0, 0]) == ({-1, 0, 3}, -1)
    kept = read(root, unannotated="ignore").sample(0)
    assert kept.extras["annotated"].tolist() == [True, False, True, False]
    assert np.array_equal(kept.ids[[0, 2]], sample.ids)
    assert (kept.ids[[1, 3]] == -1).all()
    assert len(kept.frames) == 4
    with pytest.raises(InputError, match=r"expected train/instances\.json, train\.json"):
        read(root, masks="json")


def test_crop_and_size_keep_ids_whole(root):
    source = read(root, crop=[2, 4, 20, 32], size=[10, 16], overlap="later")
    sample = source.sample(0)
    assert sample.frames.shape == (4, 3, 10, 16)
    assert np.array_equal(sample.ids, expected(4, "later")[:, 3:22:2, 5:36:2])


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda known: known.pop("videos"), "expected a list videos, found keys info, annotations"),
        (lambda known: known["videos"][0].pop("file_names"), "expected id, height, width and file_names, found id"),
        (lambda known: known["annotations"][0].pop("video_id"), "expected video_id"),
        (lambda known: known["annotations"][2].pop("segmentations"), "one for each of 4 frames, found None"),
        (lambda known: known["annotations"][2]["segmentations"].pop(), "one for each of 4 frames, found 3"),
        (
            lambda known: known["annotations"][2]["segmentations"][0].pop("counts"),
            r"instances\.json, video 1: expected",
        ),
        (lambda known: known["annotations"][2]["segmentations"][0].update(size=[9, 9]), r"video 1: .*add up"),
        (
            lambda known: known["annotations"][2]["segmentations"].__setitem__(0, encode_rle(np.ones((9, 9)))),
            r"\(9, 9\)",
        ),
    ],
)
def test_another_or_damaged_file(root, change, problem):
    known = instances()
    change(known)
    (root / "train" / "instances.json").write_text(json.dumps(known))
    with pytest.raises(InputError, match=problem):
        read(root).sample(0)


def test_truncated_files(root):
    file = root / "train" / "instances.json"
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"instances\.json: breaks off"):
        read(root)
    file.write_text("[1, 2]")
    with pytest.raises(InputError, match=r"expected '\{' at byte 0, found '\['"):
        read(root)
    file.write_bytes(content)
    (root / "train" / "JPEGImages" / "0b1" / "00005.jpg").unlink()
    with pytest.raises(InputError, match=r"00005\.jpg"):
        read(root).sample(0)


def _ids(source, index):
    return source.sample(index).ids


@pytest.mark.parametrize("method", ["fork", "fresh"])
def test_workers_read_the_same(root, method):
    source = read(root)
    with pool(method) as workers:
        found = workers.starmap(_ids, [(source, index) for index in range(3)])
    assert all(np.array_equal(ids, expected(count)) for ids, count in zip(found, VIDEOS.values(), strict=True))
    assert pickle.loads(pickle.dumps(source)).fingerprint() == read(root).fingerprint()


def test_a_large_file_is_never_held_whole(root):
    known = instances()
    padding = {"id": 0, "video_id": 99, "segmentations": ["x" * 200_000]}
    with (root / "train" / "instances.json").open("w") as file:
        file.write('{"annotations": [' + json.dumps(padding))
        for _ in range(200):
            file.write("," + json.dumps(padding))
        file.write("".join("," + json.dumps(entry) for entry in known["annotations"]))
        file.write('], "videos": ' + json.dumps(known["videos"]) + "}")
    SOURCES.names()  # which imports all readers
    tracemalloc.start()
    index_videos(root / "train" / "instances.json")
    ids = read(root).sample(0).ids
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.array_equal(ids, expected(4))
    assert peak < 12 << 20, "of 40 MB"


def test_a_video_without_objects(root):
    known = instances()
    known["annotations"] = [entry for entry in known["annotations"] if entry["video_id"] != 2]
    (root / "train" / "instances.json").write_text(json.dumps(known))
    source = read(root)
    assert source.facts.has_ids
    sample = source.sample(1)
    assert sample.ids.shape == (3, *SIZE)
    assert not sample.ids.any()
    assert sample.extras["annotation_ids"] == []
    assert np.array_equal(source.sample(2).ids, expected(5))


@pytest.mark.parametrize(
    ("part", "area"),
    [
        ([[5, 5, 15, 20]], 0),
        ([[5, 5]], 0),
        ([[]], 0),
        ([[5, 5, 15, 5, 15, 15, 5, 15]], 100),
        ([5, 5, 15, 5, 15, 15, 5, 15], 100),
        ([[5, 5, 15, 5, 15, 15, 5, 15], [1, 1, 2, 2]], 100),
    ],
    ids=["two points", "one point", "none", "four", "not in a list", "four and two"],
)
def test_an_outline_of_fewer_than_three_points_is_empty(part, area):
    mask = stored_mask(part, (32, 32), "a video")
    assert (mask.shape, int(mask.sum())) == ((32, 32), area)
