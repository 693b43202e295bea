import os

import numpy as np
import pytest
from PIL import Image

from scenewise.errors import InputError
from scenewise.media import read_video, read_videos

from .footage import images, noise


def save(path, pixels, mode=None, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels) if mode is None else Image.fromarray(pixels).convert(mode)
    image.save(path, **options)


@pytest.mark.parametrize("ending", ["png", "PNG", "bmp", "tif", "tiff", "webp"])
def test_lossless_images_come_back_bit_for_bit_in_natural_order(tmp_path, ending):
    frames = noise(12)
    for index, frame in enumerate(frames):
        save(tmp_path / "clip" / f"frame{index}.{ending}", frame, **({"lossless": True} if ending == "webp" else {}))
    reader = read_video(tmp_path / "clip")
    assert np.array_equal(images(reader), frames)
    assert (reader.name, reader.length_hint, reader.frame_rate) == ("clip", 12, None)
    assert [(f.index, f.time_s) for f in reader] == [(i, None) for i in range(12)]


@pytest.mark.parametrize("ending", ["jpg", "jpeg"])
def test_jpeg_is_read(tmp_path, ending):
    save(tmp_path / f"0.{ending}", np.full((16, 16, 3), 200, np.uint8))
    assert np.abs(images(read_video(tmp_path)).astype(int) - 200).max() <= 2


def test_names_with_leading_zeros_text_and_numbers_sort_by_number(tmp_path):
    order = ["b2_x1", "b2_x10", "b010_x2", "b010_x11", "c"]
    for level, name in enumerate(order):
        save(tmp_path / f"{name}.png", np.full((2, 2), level, np.uint8))
    assert images(read_video(tmp_path))[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4]


def test_every_start_stop_crop_and_size_select(tmp_path):
    frames = noise(10, 16, 24)
    for index, frame in enumerate(frames):
        save(tmp_path / f"{index}.png", frame)
    reader = read_video(tmp_path, start=1, stop=9, every=3, crop=(4, 8, 8, 16), size=(4, 8))
    assert [f.index for f in reader] == [1, 4, 7]
    assert (reader.size, reader.source_size, reader.length_hint) == ((4, 8), (16, 24), 3)
    expected = frames[1:9:3, 4:12, 8:24].reshape(3, 4, 2, 8, 2, 3).mean((2, 4))
    assert np.abs(images(reader) - expected).max() <= 1


def test_sixteen_bits_are_scaled_to_eight(tmp_path):
    deep = np.array([[0, 257, 32896], [65535, 128, 129]], np.uint16)
    save(tmp_path / "png" / "0.png", deep)
    save(tmp_path / "tif" / "0.tif", deep)
    for folder in ("png", "tif"):
        assert images(read_video(tmp_path / folder))[0, ..., 1].tolist() == [[0, 1, 128], [255, 0, 1]]


def test_grey_palette_and_black_and_white_become_rgb(tmp_path):
    pixels = noise(1, 8, 8)[0]
    for mode in ("L", "P", "1", "CMYK", "LA"):
        path = tmp_path / mode / ("0.tif" if mode == "CMYK" else "0.png")
        save(path, pixels, mode)
        with Image.open(path) as image:
            expected = np.asarray(image.convert("RGB"))
        assert np.array_equal(images(read_video(path.parent))[0], expected)


def test_transparency_is_laid_on_black(tmp_path):
    pixels = noise(1, 8, 8, 4)[0]
    save(tmp_path / "0.png", pixels)
    expected = pixels[..., :3] * (pixels[..., 3:] / 255)
    assert np.abs(images(read_video(tmp_path))[0] - expected).max() <= 0.5 + 1e-6


def test_a_transparent_palette_colour_is_laid_on_black(tmp_path):
    image = Image.fromarray(np.array([[0, 1]], np.uint8), "P")
    image.putpalette([255, 0, 0, 0, 255, 0])
    image.save(tmp_path / "0.png", transparency=0)
    assert images(read_video(tmp_path))[0].tolist() == [[[0, 0, 0], [0, 255, 0]]]


def test_exif_rotation_is_applied_before_the_crop(tmp_path):
    pixels = noise(1, 8, 12)[0]
    exif = Image.Exif()
    exif[274] = 6
    save(tmp_path / "0.png", pixels, exif=exif)
    reader = read_video(tmp_path)
    assert reader.source_size == (12, 8)
    assert np.array_equal(images(reader)[0], np.rot90(pixels, -1))
    assert np.array_equal(images(read_video(tmp_path, crop=(1, 2, 5, 6)))[0], np.rot90(pixels, -1)[1:6, 2:8])


def test_float_images_hold_zero_to_one(tmp_path):
    save(tmp_path / "good" / "0.tif", np.array([[0.0, 0.5, 1.0]], np.float32))
    assert images(read_video(tmp_path / "good"))[0, 0, :, 0].tolist() == [0, 128, 255]
    save(tmp_path / "bad" / "0.tif", np.array([[0.0, np.nan]], np.float32))
    with pytest.raises(InputError, match=r"0\.tif: expected finite values; found 1 of 2 NaN"):
        list(read_video(tmp_path / "bad"))


def test_one_image_is_a_video_of_one_frame(tmp_path):
    pixels = noise(1, 1, 1)[0]
    save(tmp_path / "dot.png", pixels)
    reader = read_video(tmp_path / "dot.png")
    assert np.array_equal(images(reader), pixels[None])
    assert reader.name == "dot"


def test_mixed_sizes_name_both_files_and_sizes(tmp_path):
    save(tmp_path / "0.png", noise(1, 8, 12)[0])
    save(tmp_path / "1.png", noise(1, 9, 12)[0])
    with pytest.raises(InputError) as caught:
        read_video(tmp_path)
    for text in ("0.png", "1.png", "height 8, width 12", "height 9, width 12"):
        assert text in caught.value.problem
    assert "one size" in caught.value.remedy


def test_a_folder_without_images_is_an_input_error(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing")
    (tmp_path / ".hidden.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"expected images \(\.png.*found none"):
        read_video(tmp_path)


@pytest.mark.parametrize("content", [b"", b"junk" * 100, None], ids=["empty", "junk", "cut"])
def test_a_broken_image_is_named(tmp_path, content):
    save(tmp_path / "0.png", noise(1, 64, 64)[0])
    save(tmp_path / "1.png", noise(1, 64, 64)[0])
    (tmp_path / "1.png").write_bytes((tmp_path / "1.png").read_bytes()[:3000] if content is None else content)
    with pytest.raises(InputError, match=r"1\.png: expected") as caught:
        list(read_video(tmp_path))
    assert caught.value.remedy


def test_an_image_that_unpacks_to_a_bomb_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 16)
    save(tmp_path / "0.png", noise(1, 20, 20)[0])
    with pytest.raises(InputError, match="exceeds limit"):
        read_video(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_listed_is_an_input_error(tmp_path):
    save(tmp_path / "clip" / "0.png", noise(1, 8, 8)[0])
    (tmp_path / "clip").chmod(0)
    try:
        with pytest.raises(InputError, match="permissions"):
            read_video(tmp_path / "clip")
    finally:
        (tmp_path / "clip").chmod(0o700)


def test_a_folder_of_folders_is_several_videos(tmp_path):
    for name in ("clip10", "clip2"):
        save(tmp_path / name / "0.png", noise(1, 8, 8)[0])
    (tmp_path / "empty").mkdir()
    assert [reader.name for reader in read_videos(tmp_path)] == ["clip2", "clip10"]
    with pytest.raises(InputError, match="expected one video; found 2"):
        read_video(tmp_path)


def test_real_images_are_read(shared_data):
    assert images(read_video(shared_data / "clevr_images")).shape == (8, 240, 320, 3)


def test_links_to_nothing_and_folders_called_as_images_are_told_for_what_they_are(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "0.png")
    (tmp_path / "1.png").symlink_to("nowhere.png")
    with pytest.raises(InputError, match=r"1\.png: is a link that leads to no file\. Mend the link"):
        read_video(tmp_path)
    (tmp_path / "1.png").unlink()
    (tmp_path / "1.png").mkdir()
    with pytest.raises(InputError, match=r"1\.png: expected a regular file; found a folder\."):
        read_video(tmp_path)
