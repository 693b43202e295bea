import numpy as np
import pytest
from PIL import Image

from scenewise.errors import InputError
from scenewise.media import SLOT_COLOURS, read_palette_png, write_palette_png
from scenewise.media.palette import voc_palette

from .footage import noise


def test_the_first_colours_are_those_of_okabe_and_ito():
    assert SLOT_COLOURS[:3] == ((230, 159, 0), (86, 180, 233), (0, 158, 115))


def test_sixty_four_colours_are_distinct():
    assert len(SLOT_COLOURS) == len(set(SLOT_COLOURS)) == 64
    colours = np.array(SLOT_COLOURS)
    apart = np.abs(colours[:, None] - colours[None]).sum(-1) + 999 * np.eye(64)
    assert apart.min() >= 34
    assert colours.min() >= 0
    assert colours.max() <= 255


@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (64, 64)])
def test_ids_come_back(tmp_path, shape):
    ids = np.random.default_rng(0).integers(0, 256, shape)
    write_palette_png(tmp_path / "a.png", ids)
    read = read_palette_png(tmp_path / "a.png")
    assert read.dtype == np.int64
    assert np.array_equal(read, ids)


def test_small_ids_are_a_palette_image_in_voc_colours(tmp_path):
    write_palette_png(tmp_path / "a.png", np.array([[0, 1, 2, 3, 255]]))
    with Image.open(tmp_path / "a.png") as image:
        assert image.mode == "P"
        assert np.asarray(image).dtype == np.uint8
        colours = np.asarray(image.convert("RGB"))[0].tolist()
    assert colours == [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0], [224, 224, 192]]


def test_large_ids_are_kept_in_sixteen_bits(tmp_path):
    ids = np.array([[0, 255, 256, 65535]])
    write_palette_png(tmp_path / "a.png", ids)
    assert np.array_equal(read_palette_png(tmp_path / "a.png"), ids)


@pytest.mark.parametrize(
    "ids", [np.array([[-1]]), np.array([[65536]]), np.zeros((2, 2)), np.zeros((2, 2, 3), int), np.zeros((0, 2), int)]
)
def test_what_are_no_ids_is_refused(tmp_path, ids):
    with pytest.raises(InputError, match="expected"):
        write_palette_png(tmp_path / "a.png", ids)
    assert not list(tmp_path.iterdir())


def test_colours_in_place_of_ids_are_refused(tmp_path):
    Image.fromarray(noise(1)[0]).save(tmp_path / "a.png")
    with pytest.raises(InputError, match="found mode RGB"):
        read_palette_png(tmp_path / "a.png")


@pytest.mark.parametrize("content", [b"", b"junk"])
def test_broken_files_are_input_errors(tmp_path, content):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.png"):
        read_palette_png(tmp_path / "a.png")


def test_real_palette_masks(shared_data):
    for path in (shared_data / "davis_palette/dogs-jump").glob("*.png"):
        ids = read_palette_png(path)
        with Image.open(path) as image:
            assert np.array_equal(ids, np.asarray(image))
            assert np.array_equal(voc_palette()[ids], np.asarray(image.convert("RGB")))
        assert ids.min() == 0
        assert len(np.unique(ids)) >= 8
