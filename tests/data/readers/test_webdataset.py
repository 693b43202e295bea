"""Shards of OCLF and VideoSAUR: every way frames and ids are stored, the index, and what is refused."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import tarfile
import tracemalloc

import numpy as np
import pytest
from PIL import Image
from tests.processes import pool

from scenewise.data import SOURCES
from scenewise.data.containers import tar_index
from scenewise.errors import InputError
from scenewise.media import VideoWriter, read_video

TIME, SIZE = 6, (16, 24)


def read(path, split="train", **settings):
    return SOURCES.get("webdataset")(split, path=str(path), **settings)


def npy(array, packed=False):
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return gzip.compress(file.getvalue(), 5) if packed else file.getvalue()


def npz(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def png(image):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def write_shard(path, samples):
    """Write {key: {field: bytes}} in order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for key, members in samples.items():
            for field, content in members.items():
                member = tarfile.TarInfo(f"{key}.{field}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return path


def frames(number, time=TIME, size=SIZE):
    return np.random.default_rng(number).integers(0, 256, (time, *size, 3), dtype=np.uint8)


def ids_of(number, time=TIME):
    """Object 3 is away in frame 1; nothing is to be seen in frame 2."""
    ids = np.zeros((time, *SIZE), np.uint8)
    ids[:, 2:9, 3:12], ids[:, 6:14, 8 + number : 20] = 1, 3
    ids[1][ids[1] == 3] = 0
    ids[2] = 0
    return ids


def movi(number, packed, time=TIME):
    end = "npy.gz" if packed else "npy"
    return {
        f"video.{end}": npy(frames(number, time), packed),
        f"segmentations.{end}": npy(ids_of(number, time)[..., None], packed),
        f"forward_flow.{end}": npy(np.full((time, *SIZE, 2), number, np.uint16), packed),
        "instances.npz": npz(visibility=np.full((4, time), number)),
        "metadata.json": json.dumps({"name": f"scene {number}"}).encode(),
        "asset.pkl": pickle.dumps({"evil": number}),
    }


@pytest.fixture
def videosaur(tmp_path):
    """Two training shards of raw arrays, in which keys repeat, and one for validation."""
    for shard in range(2):
        samples = {f"{key:05d}": movi(2 * shard + key, False) for key in range(2)}
        write_shard(tmp_path / f"movi_c-train-{shard:06d}.tar", samples)
    write_shard(tmp_path / "movi_c-validation-000000.tar", {"00000": movi(9, False)})
    return tmp_path


def test_videosaur(videosaur):
    source = read(videosaur)
    assert (len(source), source.facts.size, source.facts.frames, source.facts.has_ids) == (4, SIZE, TIME, True)
    for number in range(4):
        sample = source.sample(number)
        assert np.array_equal(sample.frames, np.moveaxis(frames(number), -1, 1))
        assert np.array_equal(sample.ids, ids_of(number))
        assert sample.ids.dtype == np.int64
        assert sample.extras["shard"] == f"movi_c-train-{number // 2:06d}.tar"
        assert sample.extras["key"] == f"{number % 2:05d}"
        assert sample.extras["metadata"] == {"name": f"scene {number}"}
        assert (sample.extras["instances"]["visibility"] == number).all()
        assert sample.extras["forward_flow"].shape == (TIME, *SIZE, 2)
        assert "asset" not in sample.extras
    part = source.sample(2, 2, 3)
    assert np.array_equal(part.frames, np.moveaxis(frames(2), -1, 1)[2:5])
    assert np.array_equal(part.ids, ids_of(2)[2:5])
    assert part.extras["forward_flow"].shape == (3, *SIZE, 2)
    assert len(read(videosaur, "validation")) == 1
    with pytest.raises(InputError, match="expected shards of split test, found train, validation"):
        read(videosaur, "test")
    with pytest.raises(InputError, match="validation split by its name"):
        read(videosaur / "movi_c-validation-000000.tar", "train")


@pytest.mark.parametrize("order", ["C", "F"])
def test_oclf_video_and_order_of_memory(tmp_path, order):
    sample = movi(1, True)
    sample["video.npy.gz"] = npy(np.asarray(frames(1), order=order), True)
    write_shard(tmp_path / "train" / "shard-000000.tar", {"0": sample, "1": movi(2, True)})
    source = read(tmp_path)
    assert (len(source), source.facts.frames) == (2, TIME)
    assert np.array_equal(source.sample(0).frames, np.moveaxis(frames(1), -1, 1))
    assert np.array_equal(source.sample(0, 1, 2).frames, np.moveaxis(frames(1), -1, 1)[1:3])
    assert np.array_equal(source.sample(1, 3).ids, ids_of(2)[3:])
    assert np.array_equal(read(tmp_path / "train").sample(1).ids, ids_of(2))


def one_hot(ids):
    return np.stack([ids == number for number in (0, 1, 2, 3)]).astype(np.uint8)[..., None] * 255


@pytest.mark.parametrize("axis", ["entities first", "entities last"])
def test_oclf_images_with_one_hot_masks(tmp_path, axis):
    ids = [ids_of(number)[0] for number in range(3)]
    masks = [one_hot(each) for each in ids]
    masks[1][:, 0, 0] = 0  # covered by none
    stored = masks if axis == "entities first" else [np.moveaxis(mask, 0, 2) for mask in masks]
    samples = {str(n): {"image.npy.gz": npy(frames(n)[0], True), "mask.npy.gz": npy(stored[n], True)} for n in range(3)}
    samples["1"]["visibility.npy.gz"] = npy(np.ones(4), True)
    write_shard(tmp_path / "train" / "shard-000000.tar", samples)
    source = read(tmp_path)
    assert (source.facts.frames, source.facts.size) == (1, SIZE)
    for number in range(3):
        sample = source.sample(number)
        assert np.array_equal(sample.frames[0], np.moveaxis(frames(number)[0], -1, 0))
        assert sample.extras["entities"] == 4
        expected = ids[number].astype(np.int64)
        expected[0, 0] = -1 if number == 1 else 0
        assert np.array_equal(sample.ids[0], expected)
    assert source.sample(1).extras["visibility"].tolist() == [1, 1, 1, 1]


def test_one_hot_masks_of_video(tmp_path):
    masks = np.moveaxis(one_hot(ids_of(0)), 0, 1)  # (T, E, H, W, 1)
    write_shard(tmp_path / "s.tar", {"0": {"image.npy.gz": npy(frames(0), True), "mask.npy.gz": npy(masks, True)}})
    assert np.array_equal(read(tmp_path / "s.tar", train=[0, 1]).sample(0, 1).ids, ids_of(0)[1:])


def test_instances_with_categories(tmp_path):
    stored = np.zeros((TIME, *SIZE, 2), np.int32)
    stored[:, 2:9, 3:12, 0], stored[3:, 6:12, 8:20, 1] = 17, 5
    write_shard(
        tmp_path / "ytvis-train-000000.tar", {"a": {"video.npy": npy(frames(0)), "segmentations.npy": npy(stored)}}
    )
    sample = read(tmp_path).sample(0)
    both = (stored[..., 0] > 0) & (stored[..., 1] > 0)
    assert both.any()
    assert ((sample.ids == -1) == both).all()
    assert sample.extras["categories"].tolist() == [17, 5]
    later = read(tmp_path, overlap="later").sample(0).ids
    assert np.array_equal(later, np.where(stored[..., 1] > 0, 2, (stored[..., 0] > 0).astype(int)))


def test_films_and_pictures(tmp_path):
    with VideoWriter(tmp_path / "v.mp4", SIZE, 25.0) as writer:
        for image in frames(0):
            writer.write(image)
    film = (tmp_path / "v.mp4").read_bytes()
    note = json.dumps({"collision": [1]}).encode()
    write_shard(tmp_path / "a" / "train" / "shard-000000.tar", {"0": {"video.mp4": film, "annotation.json": note}})
    expected = np.stack([np.moveaxis(frame.image, -1, 0) for frame in read_video(tmp_path / "v.mp4")])
    source = read(tmp_path / "a")
    assert (source.facts.frames, source.length(0), source.facts.has_ids) == (None, TIME, False)
    assert np.array_equal(source.sample(0).frames, expected)
    assert source.sample(0).extras["annotation"] == {"collision": [1]}
    assert np.array_equal(read(tmp_path / "a", frames=TIME).sample(0, 2, 2).frames, expected[2:4])
    with pytest.raises(InputError, match="expected frames 0 to 8, found 6"):
        read(tmp_path / "a", frames=9).sample(0)
    write_shard(
        tmp_path / "b" / "train" / "0.tar", {"x": {"image.png": png(frames(1)[0]), "mask.png": png(ids_of(1)[0])}}
    )
    sample = read(tmp_path / "b").sample(0)
    assert np.array_equal(sample.frames[0], np.moveaxis(frames(1)[0], -1, 0))
    assert np.array_equal(sample.ids[0], ids_of(1)[0])


def test_index_is_made_once_and_anew_for_other_shards(videosaur, monkeypatch):
    source = read(videosaur)
    monkeypatch.setattr(tar_index, "search", lambda paths: pytest.fail("was searched again"))
    assert read(videosaur).fingerprint() == source.fingerprint()
    monkeypatch.undo()
    for kept in videosaur.glob("*.members"):
        kept.write_bytes(b"damaged")
    assert np.array_equal(read(videosaur).sample(3).ids, ids_of(3))
    write_shard(videosaur / "movi_c-train-000001.tar", {"7": movi(5, False)})
    changed = read(videosaur)
    assert len(changed) == 3
    assert changed.fingerprint() != source.fingerprint()
    assert np.array_equal(changed.sample(2).ids, ids_of(5))


def test_an_index_that_cannot_be_kept_is_no_failure(videosaur, monkeypatch):
    monkeypatch.setattr(tar_index, "atomic_file", lambda path: (_ for _ in ()).throw(InputError(path, "no space.")))
    assert np.array_equal(read(videosaur).sample(1).ids, ids_of(1))
    assert not list(videosaur.glob("*.members"))


def test_videos_of_different_length_and_size(tmp_path):
    samples = {str(n): movi(n, n == 2, time) for n, time in enumerate((4, 6, 3))}
    write_shard(tmp_path / "davis-train-000000.tar", samples)
    source = read(tmp_path, train=[0, 2])
    assert source.facts.frames is None
    assert [source.length(i) for i in range(2)] == [4, 6]
    with pytest.raises(InputError, match="frames 0 to 3"):
        source.sample(0, 0, 5)
    other = {"video.npy": npy(frames(0, size=(8, 8))), "segmentations.npy": npy(np.zeros((TIME, 8, 8, 1), np.uint8))}
    write_shard(tmp_path / "davis-train-000001.tar", {"x": other})
    with pytest.raises(InputError, match=r"sample x: expected height and width \(16, 24\).*Set size"):
        read(tmp_path).sample(3)
    assert read(tmp_path, size=[8, 8]).sample(3).ids.shape == (TIME, 8, 8)


def test_crop_and_size_keep_ids_whole(videosaur):
    sample = read(videosaur, crop=[2, 2, 12, 20], size=[6, 10]).sample(1)
    assert sample.frames.shape == (TIME, 3, 6, 10)
    assert np.array_equal(sample.ids, ids_of(1)[:, 3:14:2, 3:22:2])


@pytest.mark.parametrize(
    ("members", "settings", "problem"),
    [
        ({"frame0000.png": png(frames(0)[0])}, {}, r"expected field video or image, found frame0000\.png.*source made"),
        ({"video.npy": npy(frames(0))}, {"ids": "segmentations"}, r"expected field segmentations, found video\.npy"),
        ({"video.npy": npy(frames(0) / 255)}, {}, r"expected uint8 .* found float64"),
        ({"video.npy": npy(frames(0)[..., :2])}, {}, r"found uint8 \(6, 16, 24, 2\)"),
        ({"video.npy": npy(np.array([{}], object))}, {}, "pickled objects"),
        ({"video.npy": b"no array"}, {}, r"video\.npy: expected a NumPy array"),
        ({"video.npy": npy(frames(0))[:-9]}, {}, r"video\.npy: expected \d+ bytes, found"),
        ({"video.npy.gz": npy(frames(0), True)[:-99]}, {}, r"expected whole npy\.gz content"),
        ({**movi(0, False), "segmentations.npy": npy(np.zeros((5, 9, 9, 1), int))}, {}, r"frames to 5, found 5"),
        ({**movi(0, False), "segmentations.npy": npy(np.zeros((6, 9, 9, 1), int))}, {}, r"found shape \(6, 9, 9, 1\)"),
        (
            {**movi(0, False), "segmentations.npy": npy(np.zeros((6, *SIZE, 1)))},
            {},
            "whole numbers, found type float64",
        ),
        (movi(0, False), {"extras": ["asset"]}, "Pickled and unknown members are never read"),
        (movi(0, False), {"extras": ["depth"]}, "expected field depth"),
    ],
)
def test_another_or_damaged_member(tmp_path, members, settings, problem):
    write_shard(tmp_path / "train" / "shard-000000.tar", {"0": members})
    with pytest.raises(InputError, match=problem):
        read(tmp_path, **settings).sample(0)


def test_sample_that_lacks_a_field(tmp_path):
    lacking = movi(1, False)
    lacking.pop("segmentations.npy")
    write_shard(tmp_path / "train" / "0.tar", {"0": movi(0, False), "1": lacking})
    with pytest.raises(InputError, match=r"sample 1: expected field segmentations or segmentation or mask"):
        read(tmp_path).sample(1)


def test_damaged_and_other_shards(tmp_path):
    shard = write_shard(tmp_path / "train" / "0.tar", {str(n): movi(n, False) for n in range(3)})
    content = shard.read_bytes()
    with tarfile.open(shard) as archive:
        last = archive.getmembers()[-1]
    for size in (last.offset_data + 5, last.offset + 100, last.offset - 700):
        shard.write_bytes(content[:size])
        with pytest.raises(InputError, match=r"0\.tar"):
            read(tmp_path)
    shard.write_bytes(gzip.compress(content))
    with pytest.raises(InputError, match="found a compressed one"):
        read(tmp_path)
    shard.write_bytes(b"no tar file at all" * 100)
    with pytest.raises(InputError, match="expected a tar file"):
        read(tmp_path)
    shard.write_bytes(bytes(10240))
    with pytest.raises(InputError, match="found none"):
        read(tmp_path)
    shard.unlink()
    with pytest.raises(InputError, match=r"expected shards \*\.tar, found nothing"):
        read(tmp_path)
    with pytest.raises(InputError, match="found no folder"):
        read(tmp_path / "absent")


def test_a_field_twice(tmp_path):
    shard = write_shard(tmp_path / "0.tar", {"0": {"video.npy": npy(frames(0))}})
    with tarfile.open(shard, "a") as archive:
        archive.addfile(tarfile.TarInfo("0.video.npy"), io.BytesIO())
    with pytest.raises(InputError, match=r"expected 0\.video\.npy once, found it twice"):
        read(shard)


def _sample(source, index):
    sample = source.sample(index)
    return sample.frames, sample.ids


@pytest.mark.parametrize("method", ["fork", "fresh"])
def test_workers_read_the_same(videosaur, method):
    source = read(videosaur)
    with pool(method) as workers:
        found = workers.starmap(_sample, [(source, index) for index in range(4)])
    for number, (drawn, ids) in enumerate(found):
        assert np.array_equal(drawn, np.moveaxis(frames(number), -1, 1))
        assert np.array_equal(ids, ids_of(number))


def test_one_sample_of_a_large_shard_needs_little_memory(tmp_path):
    """The shard is sparse: 1 GB of which all but one sample is holes."""
    shard = write_shard(tmp_path / "train" / "0.tar", {"0": movi(0, False)})
    with shard.open("r+b") as file, tarfile.open(shard) as archive:
        last = archive.getmembers()[-1]
        end = last.offset_data + -(-last.size // 512) * 512
        member = tarfile.TarInfo("1.depth.npy")
        member.size = 1 << 30
        file.seek(end)
        file.write(member.tobuf(tarfile.USTAR_FORMAT))
        file.seek(end + 512 + member.size)
        file.write(bytes(1024))
    with tarfile.open(shard) as archive:
        assert archive.getnames()[-1] == "1.depth.npy"
    SOURCES.names()  # which imports all readers
    tracemalloc.start()
    sample = read(tmp_path, train=[0, 1]).sample(0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * (sample.frames.nbytes + sample.ids.nbytes) + (1 << 20)


def test_a_sample_without_objects(tmp_path):
    empty = npy(np.zeros((TIME, *SIZE, 1), np.uint8))
    samples = {"0": {**movi(0, False), "segmentations.npy": empty}, "1": movi(1, False)}
    write_shard(tmp_path / "train" / "shard-000000.tar", samples)
    source = read(tmp_path)
    assert not source.sample(0).ids.any()
    assert np.array_equal(source.sample(1).ids, ids_of(1))


def test_frames_of_a_film_that_an_edit_list_hides_are_not_counted(ffmpeg, tmp_path):
    h264 = ("-pix_fmt", "yuv420p", "-c:v", "libx264", "-g", 120)
    ffmpeg("-f", "lavfi", "-i", "testsrc=size=64x48:rate=12:duration=10", *h264, tmp_path / "whole.mp4")
    ffmpeg("-ss", 1.3, "-i", tmp_path / "whole.mp4", "-c", "copy", tmp_path / "trimmed.mp4")
    film = (tmp_path / "trimmed.mp4").read_bytes()
    write_shard(tmp_path / "a" / "train" / "0.tar", {"0": {"video.mp4": film}})
    source = read(tmp_path / "a")
    assert source.length(0) == len(source.sample(0).frames) == 104
