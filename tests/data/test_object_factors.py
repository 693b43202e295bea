import numpy as np
import pytest

from scenewise.data.contract import SOURCES
from scenewise.data.object_factors import object_factors, object_ids


def test_names_of_all_sources_become_the_same():
    scene = {"shape": ["cube", "sphere"], "color": ["red", "blue"], "3d_coords": [[1.0, 2.0, 0.7], [3.0, 4.0, 0.7]]}
    found = object_factors({**scene, "rotation": [10.0, 20.0], "depth_orders": [[0, 1]]})
    assert sorted(found) == ["colour", "shape", "x", "y"]
    assert found["colour"].tolist() == ["red", "blue"]
    assert found["x"].tolist() == [1, 3]
    assert found["y"].tolist() == [2, 4]


def test_colours_of_three_numbers_are_ordered_and_numbers_of_kinds_are_not():
    found = object_factors(
        {"colours": np.array([[255, 0, 7]], np.uint8), "shapes": np.array([18]), "rows": np.array([3])}
    )
    assert [found[name].tolist() for name in ("red", "green", "blue")] == [[255], [0], [7]]
    assert found["red"].dtype.kind == found["y"].dtype.kind == "f"
    assert found["shape"].dtype.kind == "i"
    assert object_factors({"size": np.array([0.5])})["size"].dtype.kind == "f"
    assert object_factors({"size": np.array([2])})["size"].dtype.kind == "i"


def test_places_are_those_of_a_frame_or_of_the_scene():
    extras = {"positions": np.array([[1.0, 2.0, 3.0]]), "pixel_coords": np.arange(6.0).reshape(2, 1, 3)}
    assert [object_factors(extras)[axis].item() for axis in "xy"] == [1, 2]
    assert [object_factors(extras, 1)[axis].item() for axis in "xy"] == [3, 4]
    moving = {"positions": np.arange(8.0).reshape(2, 2, 2)}  # (T, n, 2)
    assert object_factors(moving, 1)["x"].tolist() == [4, 6]
    assert object_factors({"visibility": np.ones(3)}) == {}


def test_rows_belong_to_the_ids_after_the_background_or_to_all_that_may_be_present():
    assert object_ids({}, 2, (0,)).tolist() == [1, 2]
    assert object_ids({}, 2, (0, 1, 2, 3)).tolist() == [4, 5]
    assert object_ids({"present": np.array([True, True, False])}, 3, (0,)).tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("name", "known", "place"),
    [
        ("multi-dsprites", ["blue", "green", "red", "shape", "size", "x", "y"], np.mean),
        ("tetrominoes", ["blue", "green", "red", "shape", "x", "y"], np.min),
    ],
)
def test_places_of_generated_sources_are_where_ids_are(name, known, place):
    sample = SOURCES.get(name)(split="test").sample(3)
    found = object_factors(sample.extras, 0)
    assert sorted(found) == known
    ids = object_ids(sample.extras, len(found["x"]), (0,))
    columns = [place(np.nonzero(sample.ids[0] == i)[1]) for i in ids]
    assert np.argsort(columns).tolist() == np.argsort(found["x"]).tolist()
