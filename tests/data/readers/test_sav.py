"""SA-V: masklets on every fourth frame, overlapping or absent, and the real files."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest

from scenewise.data import SOURCES
from scenewise.data.readers.video import stored_mask
from scenewise.errors import InputError
from scenewise.media import VideoWriter, encode_rle, read_video

SIZE, FILM, FRAMES = (32, 48), 22, 6  # 6 = ceil(22 / 4) frames with masks


def read(path, split="train", **settings):
    return SOURCES.get("sa-v")(split, path=str(path), **settings)


def mask_of(masklet, frame):
    """Masklet 1 lies inside masklet 0; masklet 2 is away in two frames."""
    mask = np.zeros(SIZE, bool)
    if masklet == 0:
        mask[4:24, 4 + frame : 24 + frame] = True
    elif masklet == 1:
        mask[8:14, 10 + frame : 16 + frame] = True
    elif frame not in (2, 3):
        mask[20:30, 36:46] = True
    return mask


def content(order=(0, 1, 2)):
    return {
        "video_id": "sav_000001",
        "video_frame_count": float(FILM),
        "video_height": float(SIZE[0]),
        "video_width": float(SIZE[1]),
        "masklet": [[encode_rle(mask_of(m, frame)) for m in order] for frame in range(FRAMES)],
        "masklet_id": list(order),
        "masklet_num": len(order),
    }


def write(root, name, kind="manual", film=True, order=(0, 1, 2)):
    root.mkdir(parents=True, exist_ok=True)
    (root / f"{name}_{kind}.json").write_text(json.dumps(content(order)))
    if film:
        with VideoWriter(root / f"{name}.mp4", SIZE, 24.0) as writer:
            for frame in range(FILM):
                writer.write(np.full((*SIZE, 3), 10 * frame, np.uint8))


@pytest.fixture
def root(tmp_path):
    for number in range(3):
        write(tmp_path / f"sav_00{number}", f"sav_00000{number}")
    return tmp_path


def expected(overlap):
    ids = np.zeros((FRAMES, *SIZE), np.int64)
    for frame in range(FRAMES):
        whole, part, other = (mask_of(m, frame) for m in range(3))
        ids[frame][whole] = 1
        ids[frame][part] = -1 if overlap == "ignore" else 2
        ids[frame][other] = 3
        if overlap == "ignore":
            ids[frame][other & whole] = -1
    return ids


def test_every_fourth_frame_with_its_ids(root):
    source = read(root, train=[0, 3])
    assert (len(source), source.facts.size, source.facts.frames, source.facts.overlap) == (3, SIZE, FRAMES, "ignore")
    sample = source.sample(1)
    film = [frame.image for frame in read_video(root / "sav_001" / "sav_000001.mp4")]
    assert len(film) == FILM
    assert np.array_equal(sample.frames, np.moveaxis(np.stack(film[::4]), -1, 1))
    assert np.array_equal(sample.ids, expected("ignore"))
    assert sample.extras["film_frames"].tolist() == [0, 4, 8, 12, 16, 20]
    assert sample.extras["masklet_id"] == [0, 1, 2]
    part = source.sample(1, 2, 3)
    assert np.array_equal(part.frames, sample.frames[2:5])
    assert np.array_equal(part.ids, sample.ids[2:5])
    again = pickle.loads(pickle.dumps(source))
    assert np.array_equal(again.sample(1).ids, sample.ids)
    assert again.fingerprint() == source.fingerprint()


def test_overlaps_as_asked_for(root):
    assert np.array_equal(read(root, overlap="later").sample(0).ids, expected("later"))
    write(root / "sav_000", "sav_000000", film=False, order=(1, 0, 2))
    smaller = read(root, overlap="smaller").sample(0).ids
    assert (smaller[0] == 1).sum() == 36, "the part is on top though it is listed first"
    assert (read(root, overlap="later").sample(0).ids[0] == 1).sum() == 0
    assert read(root, overlap="smaller").facts.overlap == "top"


def test_clips_crop_and_size(root):
    full = expected("ignore")
    source = read(root, train=[0, 1], clip=4, crop=[2, 4, 28, 40], size=[14, 20])
    assert (len(source), source.facts.frames) == (1, 4)
    sample = source.sample(0)
    assert sample.frames.shape == (4, 3, 14, 20)
    assert np.array_equal(sample.ids, full[:4, 3:30:2, 5:44:2])


def test_splits_never_share_a_video(tmp_path):
    for number in range(10):
        write(tmp_path, f"sav_{number:06d}", film=False)
    seen = [
        {source.sample(i, 0, 1).extras["video"] for i in range(len(source))}
        for source in (read(tmp_path, split, ids_only=True) for split in ("train", "validation", "test"))
    ]
    assert [len(videos) for videos in seen] == [8, 1, 1]
    assert len(set.union(*seen)) == 10


def test_ids_without_films_only_when_asked_for(root):
    (root / "sav_001" / "sav_000001.mp4").unlink()
    with pytest.raises(InputError, match=r"sav_000001\.mp4 beside its masks, found none \(1 are missing\)"):
        read(root, train=[0, 3])
    source = read(root, train=[0, 3], ids_only=True)
    assert "1 without frames" in source.facts.origin
    sample = source.sample(1)
    assert not sample.frames.any()
    assert not sample.extras["has_frames"]
    assert np.array_equal(sample.ids, expected("ignore"))
    assert source.sample(0).extras["has_frames"]


def test_scene_without_objects(tmp_path):
    write(tmp_path, "sav_0", film=False, order=())
    ids = read(tmp_path, ids_only=True).sample(0).ids
    assert ids.shape == (FRAMES, *SIZE)
    assert not ids.any()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda known: known.pop("masklet"), "expected keys masklet, found video_id"),
        (lambda known: known.update(masklet=[]), "expected a list of masks for every fourth frame"),
        (lambda known: known["masklet"][1][0].update(size=[8, 8]), r"masklet\[1\].*add up"),
        (lambda known: known["masklet"].__setitem__(1, [encode_rle(np.ones((8, 8), bool))]), r"found \(8, 8\)"),
        (lambda known: known["masklet"].__delitem__(slice(3, None)), "expected frames to 5, found 3"),
    ],
)
def test_another_or_damaged_file(root, change, problem):
    known = content()
    change(known)
    (root / "sav_000" / "sav_000000_manual.json").write_text(json.dumps(known))
    with pytest.raises(InputError, match=problem):
        read(root).sample(0)


def test_what_is_missing_is_named(root, tmp_path_factory):
    with pytest.raises(InputError, match=r"expected files NAME_auto\.json, found sav_000"):
        read(root, masklets="auto")
    with pytest.raises(InputError, match="no such file or folder"):
        read(root / "absent")
    file = root / "sav_000" / "sav_000000_manual.json"
    file.write_bytes(file.read_bytes()[:500])
    with pytest.raises(InputError, match="JSON file of masklets"):
        read(root)


def test_real_masklets(shared_data):
    for kind in ("manual", "auto"):
        file = shared_data / "sav" / f"sav_000001_{kind}.json"
        if not file.is_file():
            pytest.skip(f"no SA-V file at {file}")
        known = json.loads(file.read_text())
        source = read(file, masklets=kind, ids_only=True, overlap="later")
        assert (source.facts.frames, source.facts.size) == (121, (848, 480))
        sample = source.sample(0, 0, 2)
        assert sample.ids.max() <= known["masklet_num"]
        small = read(file, masklets=kind, ids_only=True, size=[106, 60], overlap="later").sample(0, 0, 2).ids
        assert small.shape == (2, 106, 60)
        assert set(np.unique(small)) <= set(np.unique(sample.ids))


def test_real_masklets_have_the_areas_the_file_tells(shared_data):
    file = shared_data / "sav" / "sav_000001_manual.json"
    if not file.is_file():
        pytest.skip(f"no SA-V file at {file}")
    known = json.loads(file.read_text())
    areas = np.array([[stored_mask(rle, (848, 480), file).sum() for rle in frame] for frame in known["masklet"]])
    seen = [row[row > 0].mean() for row in areas.T]
    assert np.allclose(seen, known["masklet_size_abs"], rtol=0.02)
