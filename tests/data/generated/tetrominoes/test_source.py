"""The generator keeps the facts measured on records of the public Tetrominoes set (IODINE, arXiv 1903.00450)."""

from __future__ import annotations

import gzip
import itertools
import pickle
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scenewise.data import SOURCES
from scenewise.data.generated.tetrominoes.pieces import PIECES, SIDES, blocks, draw, pack, place
from scenewise.data.generated.tetrominoes.source import COLOURS, SHAPES
from scenewise.errors import InputError


def ready(split="test", **settings):
    return SOURCES.get("tetrominoes")(split, **settings)


@pytest.fixture(scope="module")
def many():
    return ready(seed=11).make(range(3000))


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


def fields(data):
    """(number, bytes) of the fields of a protobuf message that has only fields with a length."""
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        assert key & 7 == 2
        length, at = varint(data, at)
        yield key >> 3, data[at : at + length]
        at += length


def feature(data):
    """One value of a tf.train.Example: float32, or uint8 from one string of length 1 per byte."""
    ((kind, values),) = fields(data)
    if kind == 2:
        return np.frombuffer(next(fields(values))[1], "<f4")
    stored = np.frombuffer(values, np.uint8)
    assert (stored[0::3] == 0x0A).all()
    assert (stored[1::3] == 0x01).all()
    return stored[2::3]


def examples(path):
    """The records of a gzipped TFRecord file as mappings of arrays."""
    data = gzip.decompress(path.read_bytes())
    at = 0
    while at < len(data):
        (length,) = struct.unpack_from("<Q", data, at)
        ((_, entries),) = fields(data[at + 12 : at + 12 + length])
        pairs = (dict(fields(entry)) for _, entry in fields(entries))
        yield {pair[1].decode(): feature(pair[2]) for pair in pairs}
        at += length + 16


@pytest.fixture(scope="module")
def records(shared_data):
    path = shared_data / "tetrominoes/tetrominoes_mini.tfrecords"
    if not path.is_file():
        pytest.skip(f"no real records at {path}")
    return list(examples(path))


def test_real_factors_draw_the_real_images_bit_for_bit(records):
    assert len(records) == 10
    for record in records:
        shapes = record["shape"][None, 1:].astype(int)  # entity 0 is the background
        corners = np.stack([record["x"], record["y"]], -1)[None, 1:].astype(int)
        colours = (record["color"].reshape(1, 4, 3)[:, 1:] * 255).astype(np.uint8)
        frames, ids = draw(shapes, corners, colours, 35)
        assert np.array_equal(np.moveaxis(frames[0, 0], 0, -1), record["image"].reshape(35, 35, 3))
        assert np.array_equal(ids[0, 0], record["mask"].reshape(4, 35, 35).argmax(0))


def test_real_pieces_are_among_those_in_use(records):
    seen = {int(shape) for record in records for shape in record["shape"][1:]}
    assert seen < set(SHAPES)
    assert set(SHAPES) - seen == {1}
    colours = {tuple(colour) for record in records for colour in record["color"].reshape(4, 3)[1:] * 255}
    assert colours == set(COLOURS.values())


def test_pieces_are_all_turns_of_the_seven_tetrominoes():
    letters = {
        "I": "####",
        "O": "##/##",
        "T": "###/.#.",
        "S": ".##/##.",
        "Z": "##./.##",
        "J": "#../###",
        "L": "..#/###",
    }
    turned = set()
    for picture in letters.values():
        cells = np.array([[mark == "#" for mark in row] for row in picture.split("/")])
        for turns in range(4):
            turned.add("/".join("".join(".#"[cell] for cell in row) for row in np.rot90(cells, turns).astype(int)))
    assert turned == set(PIECES.values())
    assert len(PIECES) == 19
    assert len(SHAPES) == 17


def test_shapes_and_facts():
    source = ready()
    sample, facts = source.sample(0), source.facts
    assert sample.frames.shape == (1, 3, 35, 35)
    assert sample.frames.dtype == np.uint8
    assert sample.ids.shape == (1, 35, 35)
    assert sample.ids.dtype == np.int64
    assert (facts.frames, facts.channels, facts.size, facts.max_objects) == (1, 3, (35, 35), 3)
    assert (facts.background_ids, facts.overlap, facts.has_ids) == ((0,), "top", True)
    frames, ids = source.batch([0, 5])
    assert frames.shape == (2, 1, 3, 35, 35)
    assert ids.shape == (2, 1, 35, 35)
    assert frames.dtype == ids.dtype == np.uint8


def test_no_piece_covers_another(many):
    areas = [(many.ids == piece).sum((1, 2, 3)) for piece in (1, 2, 3)]
    assert (np.array(areas) == 100).all()
    assert many.ids.max() == 3


def test_ids_are_the_coloured_pixels(many):
    assert np.array_equal(many.ids > 0, many.frames.any(2))
    pixels = np.moveaxis(many.frames, 2, -1)
    for piece in (1, 2, 3):
        inside = pixels[many.ids == piece].reshape(len(pixels), 100, 3)
        assert np.array_equal(inside.max(1), many.colours[:, piece - 1])
        assert set(np.unique(inside)) == {0, 63, 95, 127, 159, 191, 223, 255}


def test_extras_tell_where_pieces_lie():
    source = ready(min_pieces=1, max_pieces=5)
    for index in range(40):
        sample = source.sample(index)
        extras = sample.extras
        assert len(extras["shapes"]) == len(extras["colours"]) == sample.ids.max()
        for piece, shape in enumerate(extras["shapes"]):
            rows, columns = np.nonzero(sample.ids[0] == piece + 1)
            assert (rows.min(), columns.min()) == (extras["rows"][piece], extras["columns"][piece])
            cells = np.unique(np.stack([rows - rows.min(), columns - columns.min()], -1) // 5, axis=0)
            assert np.array_equal(cells, blocks(shape))


def test_flat_colours_and_another_size():
    frames, ids = ready(shaded=False, size=64).batch(range(20))
    assert frames.shape == (20, 1, 3, 64, 64)
    assert set(np.unique(frames)) == {0, 255}
    assert np.array_equal(ids > 0, frames.any(2))


def chi_square(counts):
    """Distance of counts from equal ones; its mean is one less than their number."""
    expected = np.mean(counts)
    return float(((np.asarray(counts) - expected) ** 2 / expected).sum())


def test_all_seventeen_pieces_occur_equally_often(many):
    counts = np.bincount(many.shapes.ravel(), minlength=20)
    assert set(np.flatnonzero(counts)) == set(SHAPES)
    assert chi_square(counts[list(SHAPES)]) < 39.3  # one in a thousand, 16 degrees of freedom


def test_all_six_colours_occur_equally_often(many):
    _, counts = np.unique(many.colours.reshape(-1, 3), axis=0, return_counts=True)
    assert len(counts) == 6
    assert chi_square(counts) < 20.5  # one in a thousand, 5 degrees of freedom


def test_a_first_piece_lies_anywhere_inside(many):
    tall = many.shapes[:, 0] == 2
    assert many.corners[tall, 0, 0].max() == 15
    assert set(many.corners[tall, 0, 1]) == set(range(31))
    squares = ready(shapes=[19], min_pieces=1, max_pieces=1).make(range(2600))
    assert chi_square(np.bincount(squares.corners[:, 0, 0], minlength=26)) < 52.6  # 25 degrees of freedom
    assert chi_square(np.bincount(squares.corners[:, 0, 1], minlength=26)) < 52.6


def test_numbers_of_pieces_are_equally_frequent():
    made = ready(min_pieces=1, max_pieces=6).make(range(1200))
    counts = (made.shapes > 0).sum(1)
    assert chi_square(np.bincount(counts, minlength=7)[1:]) < 20.5
    assert np.array_equal(counts, made.ids.max((1, 2, 3)))


def test_distinct_colours_are_distinct_and_equally_frequent():
    made = ready(distinct_colours=True, min_pieces=6, max_pieces=6).make(range(100))
    for colours in made.colours:
        assert len(np.unique(colours, axis=0)) == 6
    three = ready(distinct_colours=True).make(range(1000)).colours
    assert chi_square(np.unique(three.reshape(-1, 3), axis=0, return_counts=True)[1]) < 20.5


def test_chosen_shapes_and_colours_are_used():
    made = ready(shapes=[4, 8], colours=["red", "cyan"]).make(range(50))
    assert set(np.unique(made.shapes)) == {4, 8}
    assert {tuple(colour) for colour in made.colours.reshape(-1, 3)} == {(255, 0, 0), (0, 255, 255)}


@settings(max_examples=20, deadline=None)
@given(
    indices=st.lists(st.integers(0, 9999), min_size=1, max_size=8),
    most=st.integers(3, 6),
    seed=st.integers(0, 2**63 - 1),
)
def test_an_image_is_the_same_in_any_batch(indices, most, seed):
    source = ready(seed=seed, max_pieces=most, size=30)
    frames, ids = source.batch(indices)
    alone = ready(seed=seed, max_pieces=most, size=30).sample(indices[-1])
    assert np.array_equal(frames[-1], alone.frames)
    assert np.array_equal(ids[-1], alone.ids)
    assert np.array_equal(source.batch(indices[::-1])[0], frames[::-1])


def test_splits_seeds_and_indices_share_no_image():
    made = [
        ready(split, seed=seed).batch(range(200))[0] for split in ("train", "validation", "test") for seed in (0, 1)
    ]
    assert len({frame.tobytes() for frames in made for frame in frames}) == 1200


@pytest.mark.parametrize("count", [1, 2, 3])
def test_any_pieces_fit_from_the_smallest_size_on(count):
    for pieces in itertools.combinations_with_replacement(PIECES, count):
        assert pack(list(pieces), SIDES[count] // 5) is not None


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(sorted(PIECES)), min_size=4, max_size=6))
def test_more_pieces_fit_from_the_smallest_size_on(pieces):
    assert pack(pieces, SIDES[len(pieces)] // 5) is not None


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([0, *PIECES]), min_size=1, max_size=6), st.floats(0, 0.999), st.integers(0, 25))
def test_pieces_are_placed_without_overlap_even_with_draws_that_never_change(pieces, value, more):
    size = SIDES[len(pieces)] + more
    corners = place(np.array([pieces]), np.full((1, len(pieces), 2, 2), value), size)
    colours = np.full((1, len(pieces), 3), 255, np.uint8)
    _, ids = draw(np.array([pieces]), corners, colours, size)
    for at, piece in enumerate(pieces):
        assert (ids == at + 1).sum() == (100 if piece else 0)


def test_fingerprint_tells_settings_splits_and_seeds_apart():
    variants = [{}, {"seed": 1}, {"shaded": False}, {"size": 36}, {"shapes": [1, 2]}, {"distinct_colours": True}]
    prints = [ready(split, **variant).fingerprint() for variant in variants for split in ("train", "test")]
    assert len(set(prints)) == len(prints)
    assert ready("train").fingerprint() == prints[0]


def test_nominal_lengths_and_ends():
    assert [len(ready(split)) for split in ("train", "validation", "test")] == [60_000, 10_000, 10_000]
    with pytest.raises(IndexError):
        ready().sample(10_000)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"colors": ["red"]}, "colours"),
        ({"colours": ["rad"]}, "red"),
        ({"colours": []}, "at least one"),
        ({"colours": ["red", "red"]}, "differ"),
        ({"shapes": [20]}, "shapes is 20"),
        ({"shapes": []}, "shapes"),
        ({"min_pieces": 4}, "max_pieces"),
        ({"max_pieces": 7}, "allowed range"),
        ({"max_pieces": 6, "size": 29}, "30 pixels"),
        ({"size": 300}, "size"),
        ({"colours": ["red", "blue"], "distinct_colours": True}, "3 colours"),
    ],
)
def test_wrong_settings_name_the_key(wrong, says):
    with pytest.raises(InputError, match=says):
        ready(**wrong)


def test_wrong_splits_and_spans_are_refused():
    with pytest.raises(InputError, match="validation"):
        ready("valdation")
    with pytest.raises(InputError, match="frames 0 to 0"):
        ready().batch([0], 0, 2)
    with pytest.raises(InputError, match="frames 0 to 0"):
        ready().sample(0, 1, 1)


def test_source_can_be_sent_to_a_worker():
    source = ready()
    again = pickle.loads(pickle.dumps(source))
    assert np.array_equal(source.batch([3])[0], again.batch([3])[0])
