import json
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from pycocotools import mask as coco

from scenewise.errors import InputError
from scenewise.media import JsonArrayWriter, decode_rle, encode_rle
from scenewise.media.annotations import run_lengths

from .disk import opened_by

masks = arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=40))


@given(masks)
def test_masks_come_back(mask):
    rle = encode_rle(mask)
    assert json.loads(json.dumps(rle)) == rle
    assert np.array_equal(decode_rle(rle), mask)
    assert np.array_equal(coco.decode(rle), mask), "the reference decodes it alike"


@given(masks)
def test_runs_are_those_of_the_columns(mask):
    runs = run_lengths(encode_rle(mask))
    flat = np.repeat(np.arange(len(runs)) % 2, runs).astype(bool)
    assert np.array_equal(flat.reshape(mask.shape, order="F"), mask)
    assert np.array_equal(decode_rle({"size": mask.shape, "counts": runs}), mask)


def test_long_runs_and_bytes_are_read():
    mask = np.zeros((3000, 2000), bool)
    mask[10:2990, 5:1990] = True
    rle = encode_rle(mask)
    assert np.array_equal(decode_rle({**rle, "counts": rle["counts"].encode()}), mask)


@given(st.text(max_size=30) | st.binary(max_size=30) | st.lists(st.integers() | st.floats() | st.none(), max_size=5))
def test_any_counts_give_a_mask_or_an_input_error(counts):
    with suppress(InputError):
        assert decode_rle({"size": [4, 5], "counts": counts}).shape == (4, 5)


@pytest.mark.parametrize(
    ("rle", "problem"),
    [
        ({"size": [2, 3], "counts": [5]}, r"2 x 3 = 6; found 5"),
        ({"size": [2, 3], "counts": [9, -3]}, "at least 0"),
        ({"size": [2, 3], "counts": "\x10"}, "not COCO RLE"),
        ({"size": [2, 3], "counts": "P"}, "breaks off"),
        ({"size": [2, 3], "counts": "P" * 20}, "not COCO RLE"),
        ({"size": [2], "counts": [6]}, "expected size"),
        ({"size": [-2, -3], "counts": [6]}, "expected size"),
        ({"counts": [6]}, "expected size"),
        ({"size": [2, 3]}, "expected counts"),
    ],
)
def test_what_is_no_mask_is_refused(rle, problem):
    with pytest.raises(InputError, match=problem):
        decode_rle(rle)


def test_only_flat_masks_are_encoded():
    with pytest.raises(InputError, match="expected shape"):
        encode_rle(np.zeros((2, 2, 2)))


@pytest.mark.parametrize("name", ["sav_000001_manual.json", "sav_000001_auto.json"])
def test_masks_written_by_others(shared_data, name):
    video = json.loads((shared_data / "sav" / name).read_text())
    areas = []
    for frame in video["masklet"]:
        for rle in frame:
            runs = run_lengths(rle)
            assert sum(runs) == rle["size"][0] * rle["size"][1]
            assert sum(runs[1::2]) == coco.area(rle)
        areas.append([sum(run_lengths(rle)[1::2]) for rle in frame])
    assert np.array_equal(decode_rle(video["masklet"][0][0]), coco.decode(video["masklet"][0][0]))
    if "manual" not in name:  # its areas are means over the frames that show the object
        shown = np.sum(areas, axis=0) / np.sum(np.array(areas) > 0, axis=0)
        assert shown == pytest.approx(video["masklet_size_abs"])


def test_an_array_is_valid_json_after_every_write(tmp_path):
    path = tmp_path / "a.json"
    written = []
    with JsonArrayWriter(path) as writer:
        assert json.loads(path.read_text()) == []
        for items in ([{"a": 1}], [], ["é", None], [2.5]):
            writer.write(items)
            written += items
            assert json.loads(path.read_text()) == written
    assert json.loads(path.read_text()) == written


def test_a_full_disk_leaves_the_frames_before(tmp_path):
    path = tmp_path / "a.json"
    writer, file = opened_by(lambda: JsonArrayWriter(path))
    writer.write(["first"])
    file.limit = path.stat().st_size + 20
    with pytest.raises(InputError, match=r"no space left for a\.json") as caught:
        writer.write(["second " * 10])
    assert caught.value.subject == str(tmp_path)
    assert json.loads(path.read_text()) == ["first"]
    writer.write(["third"])
    writer.close()
    assert json.loads(path.read_text()) == ["first", "third"]


def test_numbers_that_json_lacks_leave_the_file_as_it_was(tmp_path):
    with JsonArrayWriter(tmp_path / "a.json") as writer:
        writer.write([1])
        with pytest.raises(ValueError, match="JSON"):
            writer.write([float("nan")])
    assert json.loads((tmp_path / "a.json").read_text()) == [1]


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(InputError, match="expected a folder; found none"):
        JsonArrayWriter(tmp_path / "none" / "a.json")
