"""TFRecord files and their messages: what is written byte by byte comes back, damage is named."""

from __future__ import annotations

import importlib.util
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scenewise.data.containers.tf_example import Example
from scenewise.data.containers.tfrecord import RecordFile, crc32c, masked_crc32c, records
from scenewise.errors import InputError

spec = importlib.util.spec_from_file_location("tfrecord_writer", Path(__file__).parents[1] / "tfrecord_writer.py")
writer = importlib.util.module_from_spec(spec)
spec.loader.exec_module(writer)

RNG = np.random.default_rng(0)
FEATURES = {
    "image": RNG.integers(0, 256, 300).astype(np.uint8),
    "x": RNG.random(4).astype(np.float32),
    "count": np.array([0, 1, 127, 128, 300, 2**40, -1, -(2**62)]),
    "names": [b"one", b"", b"three" * 60],
}


def test_checksums():
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(b"") == 0
    for length in (1, 255, 256, 257, 1000):
        content = RNG.integers(0, 256, length).astype(np.uint8).tobytes()
        assert crc32c(content) == writer.crc32c(content)
        assert masked_crc32c(content) == writer.masked(content)


@pytest.mark.parametrize("one_byte_strings", [True, False])
@pytest.mark.parametrize("packed", [True, False])
def test_every_kind_of_feature(one_byte_strings, packed):
    payload = writer.example(FEATURES, one_byte_strings=one_byte_strings, packed=packed)
    for message in (Example(payload, "here"), Example(Example(payload, "here").compact(), "here")):
        assert message.names() == sorted(FEATURES)
        assert np.array_equal(message.uint8("image"), FEATURES["image"])
        assert np.array_equal(message.floats("x"), FEATURES["x"])
        assert np.array_equal(message.ints("count"), FEATURES["count"])
        assert [bytes(text) for text in message.strings("names")] == FEATURES["names"]


def test_strings_that_only_look_like_one_byte_each():
    """A single string may begin as a list of one-byte strings does; only the lengths tell."""
    for text in (b"\x0a\x01\x05", b"\x01", b"\x0a\x01\x0a\x01\x0a\x01"):
        message = Example(writer.example({"a": [text]}), "here")
        assert message.uint8("a").tobytes() == text
    two = Example(writer.example({"a": [b"\x07", b"\x0a\x01"]}), "here")
    with pytest.raises(InputError, match="2 longer strings"):
        two.uint8("a")


def test_compact_form_is_a_third():
    payload = writer.example({"image": np.zeros(30_000, np.uint8)})
    assert len(Example(payload, "here").compact()) < len(payload) / 2.9


@given(st.binary(max_size=200))
@settings(max_examples=200)
def test_any_bytes_are_read_or_refused(content):
    try:
        message = Example(content, "here")
        for name in message.names():
            message.array(name)
    except InputError:
        pass


@given(st.data())
@settings(max_examples=100)
def test_damaged_messages_are_read_or_refused(data):
    payload = bytearray(writer.example(FEATURES))
    payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    try:
        message = Example(bytes(payload), "here")
        for name in message.names():
            message.array(name)
    except InputError:
        pass


def test_messages_name_the_feature():
    message = Example(writer.example(FEATURES), "file, record 3")
    with pytest.raises(InputError, match=r"file, record 3: expected a feature 'mask', found count, image, names, x"):
        message.uint8("mask")
    with pytest.raises(InputError, match="x: expected bytes, found floats"):
        message.uint8("x")
    with pytest.raises(InputError, match="image: expected whole numbers, found bytes"):
        message.ints("image")


@pytest.mark.parametrize("packed", [True, False])
def test_any_record_at_any_time(tmp_path, packed):
    payloads = [writer.example({"image": np.full(50 + i, i, np.uint8)}) for i in range(7)]
    path = writer.write(tmp_path / "a.tfrecords", payloads, packed, checksums=True)
    assert list(records(path, check=True)) == payloads
    for _ in range(2):  # the second time from what the first has kept
        file = RecordFile(path, str(tmp_path / "cache"), check=True)
        again = pickle.loads(pickle.dumps(file))
        for i in (5, 0, 6):
            assert np.array_equal(file.example(i).uint8("image"), np.full(50 + i, i, np.uint8))
            assert np.array_equal(again.example(i).uint8("image"), np.full(50 + i, i, np.uint8))
    assert len(file) == 7
    assert len(list((tmp_path / "cache").iterdir())) == 1
    assert len(RecordFile(path, str(tmp_path), most=3)) == 3
    told = []
    RecordFile(path, str(tmp_path / "other"), progress=lambda *done: told.append(done))
    assert told == ([("a.tfrecords", i + 1, None) for i in range(7)] if packed else [])


def test_cache_next_to_the_file_follows_its_contents(tmp_path):
    for value in (1, 2):
        path = writer.write(tmp_path / "a.tfrecords", [writer.example({"i": np.full(4 * value, value, np.uint8)})])
        assert RecordFile(path).example(0).uint8("i")[0] == value
    kept = [place for place in tmp_path.iterdir() if place.suffix == ".records"]
    assert len(kept) == 2
    for place in kept:
        place.write_bytes(place.read_bytes()[:-5])
    assert RecordFile(path).example(0).uint8("i")[0] == 2


def test_table_is_kept(tmp_path):
    path = writer.write(tmp_path / "a", [writer.example({"i": np.full(4, i, np.uint8)}) for i in range(5)])
    file = RecordFile(path)
    assert file.table("sum", lambda message: int(message.uint8("i").sum())).tolist() == [0, 4, 8, 12, 16]
    assert RecordFile(path).table("sum", None).tolist() == [0, 4, 8, 12, 16]


@pytest.mark.parametrize("packed", [True, False])
def test_damage(tmp_path, packed):
    payloads = [writer.example({"image": RNG.integers(0, 256, 400).astype(np.uint8)}) for _ in range(3)]
    path = writer.write(tmp_path / "a.tfrecords", payloads, packed, checksums=True)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"a\.tfrecords.*may be incomplete"):
        RecordFile(path)
    assert [place.name for place in tmp_path.iterdir()] == ["a.tfrecords"]
    with pytest.raises(InputError, match="incomplete"):
        list(records(path))
    for content in (b"\x89PNG" * 50, b"\x1f\x8b" + b"no gzip" * 20):
        path.write_bytes(content)
        with pytest.raises(InputError, match="TFRecord"):
            RecordFile(path)
    with pytest.raises(InputError, match="nothing there"):
        RecordFile(tmp_path / "absent")
    path.write_bytes(b"")
    with pytest.raises(InputError, match="empty"):
        RecordFile(path)


def test_checksums_are_compared_when_asked_for(tmp_path):
    content = bytearray(writer.frame(writer.example(FEATURES)))
    content[-30] ^= 1
    (tmp_path / "a").write_bytes(content)
    assert len(RecordFile(tmp_path / "a").read(0)) == len(content) - 16
    with pytest.raises(InputError, match=r"a, record 0: its checksum is"):
        RecordFile(tmp_path / "a", check=True).read(0)
    with pytest.raises(InputError, match="checksum"):
        list(records(tmp_path / "a", check=True))


def test_a_copy_made_unchecked_does_not_count_as_checked(tmp_path):
    path = writer.write(tmp_path / "a", [writer.example(FEATURES)])
    assert len(RecordFile(path)) == 1
    with pytest.raises(InputError, match="checksum"):
        RecordFile(path, check=True)


def test_a_file_cut_after_its_index_was_made(tmp_path):
    path = writer.write(tmp_path / "a", [writer.example(FEATURES)], packed=False)
    file = RecordFile(path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match="record 0: breaks off"):
        file.read(0)


def test_an_absurd_length_is_no_record(tmp_path):
    (tmp_path / "a").write_bytes(struct.pack("<QI", 2**60, 0) + bytes(50))
    with pytest.raises(InputError, match="expected a TFRecord file"):
        RecordFile(tmp_path / "a")


def test_real_file_with_its_checksums(shared_data):
    found = list(records(shared_data / "tetrominoes" / "tetrominoes_mini.tfrecords", check=True))
    assert len(found) == 10
    assert Example(found[0], "0").names() == ["color", "image", "mask", "shape", "visibility", "x", "y"]
