"""Image files that hold several pictures, tags that are damaged, and values that leave their range empty."""

import io
import zlib

import numpy as np
import pytest
from PIL import Image

from scenewise.errors import InputError
from scenewise.media import read_video
from scenewise.media.frames import load_image

from .footage import images, noise, ramp, write_video


def save_all(path, frames, **options):
    first, *more = [Image.fromarray(frame) for frame in frames]
    first.save(path, save_all=True, append_images=more, **options)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("stack.tiff", {}),
        ("stack.tif", {"compression": "tiff_lzw"}),
        ("anim.webp", {"lossless": True, "duration": 40}),
        ("anim.png", {"duration": 40}),
        ("anim.apng", {"duration": 40}),
    ],
)
def test_all_pictures_of_a_file_are_frames(tmp_path, name, options):
    frames = noise(24, 16, 20)
    format_options = {"format": "PNG"} if name.endswith("apng") else {}
    save_all(tmp_path / name, frames, **options, **format_options)
    reader = read_video(tmp_path / name)
    assert np.array_equal(images(reader), frames)
    assert np.array_equal(images(reader), frames), "a second iteration starts anew"
    assert (reader.size, reader.length_hint, reader.frame_count(), reader.problems) == ((16, 20), 24, 24, [])
    times = [frame.time_s for frame in reader]
    timed = "duration" in options
    assert times == (pytest.approx([0.04 * index for index in range(24)]) if timed else [None] * 24)
    assert reader.frame_rate == (pytest.approx(25) if timed else None)
    part = read_video(tmp_path / name, start=5, stop=20, every=4, crop=(2, 4, 8, 10), size=(4, 5))
    assert [frame.index for frame in part] == [5, 9, 13, 17]
    expected = frames[5:20:4, 2:10, 4:14].reshape(4, 4, 2, 5, 2, 3).mean((2, 4))
    assert np.abs(images(part) - expected).max() <= 1


def test_pictures_of_an_animation_are_shown_for_as_long_as_it_says(tmp_path):
    save_all(tmp_path / "anim.webp", noise(4), lossless=True, duration=[50, 200, 20, 90])
    assert [frame.time_s for frame in read_video(tmp_path / "anim.webp")] == pytest.approx([0, 0.05, 0.25, 0.27])
    save_all(tmp_path / "anim.png", noise(3), duration=0)
    times = [frame.time_s for frame in read_video(tmp_path / "anim.png")]
    assert times[0] < times[1] < times[2]


def test_transparent_animations_are_laid_on_black(tmp_path):
    frames = noise(5, 8, 8, 4)
    save_all(tmp_path / "anim.webp", frames, lossless=True, exact=True)
    expected = frames[..., :3] * (frames[..., 3:] / 255)
    assert np.abs(images(read_video(tmp_path / "anim.webp")) - expected).max() <= 1


def test_a_stack_of_sixteen_bits_is_scaled_and_told_where_it_is_dark(tmp_path):
    deep = (np.arange(6)[:, None, None] * 600 + np.zeros((6, 8, 8))).astype(np.uint16)
    save_all(tmp_path / "stack.tiff", deep)
    reader = read_video(tmp_path / "stack.tiff")
    assert images(reader)[:, 0, 0, 0].tolist() == [round(600 * index / 257) for index in range(6)]
    assert any("3000 of 65535" in problem and "12 bits" in problem for problem in reader.problems)


def test_pages_of_another_size_are_left_out_and_told(tmp_path):
    pages = [noise(1, 16, 16)[0], noise(1, 4, 4)[0], noise(1, 16, 16, seed=1)[0]]
    save_all(tmp_path / "stack.tiff", pages)
    reader = read_video(tmp_path / "stack.tiff")
    assert np.array_equal(images(reader), [pages[0], pages[2]])
    assert reader.problems == ["holds 1 pictures of other sizes, which were left out."]


def test_a_picture_that_stands_for_an_animation_is_no_frame(tmp_path):
    frames = noise(4, 8, 8)
    save_all(tmp_path / "anim.png", frames, default_image=True)
    reader = read_video(tmp_path / "anim.png")
    assert np.array_equal(images(reader), frames[1:])
    assert any("first picture" in problem for problem in reader.problems)


@pytest.mark.parametrize("name", ["stack.tiff", "anim.png"])
def test_a_file_of_pictures_that_breaks_off_is_told(tmp_path, name):
    save_all(tmp_path / name, noise(12, 32, 32))
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) // 2])
    reader = read_video(tmp_path / name)
    count = len(images(reader))
    assert 1 <= count <= 6
    assert any("cut off or damaged" in problem for problem in reader.problems)


def test_an_animated_webp_that_breaks_off_is_an_input_error(tmp_path):
    save_all(tmp_path / "anim.webp", noise(12, 32, 32), lossless=True)
    content = (tmp_path / "anim.webp").read_bytes()
    (tmp_path / "anim.webp").write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"anim\.webp: expected an image"):
        read_video(tmp_path / "anim.webp")


def test_a_folder_takes_the_first_picture_of_each_file_and_says_so(tmp_path):
    for index in range(3):
        save_all(tmp_path / f"{index}.tiff", noise(5, 8, 8, seed=index))
    reader = read_video(tmp_path)
    assert np.array_equal(images(reader), [noise(5, 8, 8, seed=index)[0] for index in range(3)])
    assert reader.problems == ["3 files hold several pictures, of which the first counts; 12 were left out."]


def test_an_image_of_a_data_set_that_holds_several_pictures_is_told(tmp_path):
    save_all(tmp_path / "0.tiff", noise(5, 8, 8))
    with pytest.warns(UserWarning, match="image files of several pictures, of which the first counts"):
        assert np.array_equal(load_image(tmp_path / "0.tiff"), noise(5, 8, 8)[0])


def test_a_photo_with_a_preview_is_one_picture(tmp_path):
    save_all(tmp_path / "photo.jpg", noise(2, 16, 16), format="MPO")
    reader = read_video(tmp_path / "photo.jpg")
    assert len(images(reader)) == 1
    assert any("1 were left out" in problem for problem in reader.problems)


def test_videos_beside_images_are_told(tmp_path):
    Image.fromarray(noise(1)[0]).save(tmp_path / "thumbnail.png")
    write_video(tmp_path / "clip.mp4", noise(3))
    reader = read_video(tmp_path)
    assert len(images(reader)) == 1
    assert any("1 video files" in problem for problem in reader.problems)


# -- tags -------------------------------------------------------------------------------------------------------------


def chunk(name, content, checksum=None):
    """A chunk of a PNG."""
    checksum = zlib.crc32(name + content).to_bytes(4, "big") if checksum is None else checksum
    return len(content).to_bytes(4, "big") + name + content + checksum


BESIDE = {
    "bad checksum": chunk(b"tEXt", b"a\0b", b"...."),
    "text that unpacks to 64 MiB": chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(64 << 20))),
    "not UTF-8": chunk(b"iTXt", b"Title\0\0\0\0\0Caf\xe9"),
    "broken profile": chunk(b"iCCP", b"x" * 10),
    "broken EXIF": chunk(b"eXIf", b"nonsense"),
    "short gamma": chunk(b"gAMA", b""),
    "short density": chunk(b"pHYs", b"1"),
    "unknown": chunk(b"abCd", b"\xff" * 9),
}


@pytest.mark.parametrize("where", ["before", "behind"])
@pytest.mark.parametrize("beside", BESIDE.values(), ids=BESIDE)
def test_what_stands_beside_the_pixels_of_a_png_stops_nothing(tmp_path, beside, where):
    pixels, file = noise(1, 8, 12)[0], io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    content = file.getvalue()
    place = 33 if where == "before" else len(content) - 12
    (tmp_path / "0.png").write_bytes(content[:place] + beside + content[place:])
    assert np.array_equal(images(read_video(tmp_path))[0], pixels)


@pytest.mark.parametrize("exif", [b"Exif\0\0nonsense", b"Exif\0\0MM\0*\0\0\0\x08\0\x05\x01\x12", b"\xff" * 40])
def test_damaged_exif_data_of_a_jpeg_stop_nothing(tmp_path, exif):
    pixels = np.full((16, 16, 3), 90, np.uint8)
    Image.fromarray(pixels).save(tmp_path / "0.jpg", exif=exif, comment=b"Caf\xe9")
    assert np.abs(images(read_video(tmp_path))[0].astype(int) - 90).max() <= 2


def test_a_turned_tiff_is_turned_once(tmp_path):
    pixels, exif = noise(1, 8, 12)[0], Image.Exif()
    exif[274] = 6
    Image.fromarray(pixels).save(tmp_path / "0.tiff", exif=exif)
    reader = read_video(tmp_path)
    assert reader.source_size == (12, 8)
    assert np.array_equal(images(reader)[0], np.rot90(pixels, -1))


# -- range ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [8, 10, 12, 14])
@pytest.mark.parametrize("ending", ["png", "tiff"])
def test_fewer_bits_stored_in_sixteen_are_told(tmp_path, bits, ending):
    for index in range(3):
        deep = np.full((8, 8), 20, np.uint16)
        deep[2:4, 2:4] = ((1 << bits) - 1) * 9 // 10 if index < 2 else 25
        Image.fromarray(deep).save(tmp_path / f"{index}.{ending}")
    reader = read_video(tmp_path)
    images(reader)
    (told,) = reader.problems
    for text in (f"{((1 << bits) - 1) * 9 // 10} of 65535", f"{bits} bits", f"multiply by {1 << (16 - bits)}"):
        assert text in told


def test_sixteen_bits_that_are_used_are_not_told(tmp_path):
    Image.fromarray(np.full((8, 8), 20000, np.uint16)).save(tmp_path / "0.png")
    Image.fromarray(np.zeros((8, 8), np.uint16)).save(tmp_path / "1.png")
    reader = read_video(tmp_path)
    images(reader)
    assert reader.problems == []


@pytest.mark.parametrize("pixels", ["rgb48be", "rgba64be"])
def test_colours_of_fewer_bits_stored_in_sixteen_are_told(ffmpeg, tmp_path, pixels):
    channels = 3 if pixels == "rgb48be" else 4
    deep = np.full((8, 8, channels), 3900, ">u2")
    deep[..., 3:] = 65535
    source = ("-f", "rawvideo", "-pix_fmt", pixels, "-s", "8x8", "-i", "-")
    ffmpeg(*source, "-frames:v", 1, "-pix_fmt", pixels, tmp_path / "0.png", input=deep.tobytes())
    reader = read_video(tmp_path / "0.png")
    assert images(reader).max() == 15
    assert any("of 255" in problem and "12 bits" in problem for problem in reader.problems)


def test_a_video_of_fewer_bits_stored_in_sixteen_is_told(tmp_path):
    import av

    with av.open(str(tmp_path / "deep.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.height, stream.width, stream.pix_fmt = 16, 16, "gray16le"
        for level in (400, 3900, 3000):
            frame = av.VideoFrame.from_ndarray(np.full((16, 16), level, np.uint16), format="gray16le")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    reader = read_video(tmp_path / "deep.mkv")
    assert images(reader).max() == 15
    assert any("12 bits stored in 16" in problem for problem in reader.problems)
    write_video(tmp_path / "dark.mkv", ramp(3))
    reader = read_video(tmp_path / "dark.mkv")
    images(reader)
    assert reader.problems == [], "8 bits that are dark are dark"


def test_what_lies_beside_arrays_in_an_archive_stops_nothing(tmp_path):
    import zipfile

    np.savez(tmp_path / "clip.npz", frames=noise(3))
    with zipfile.ZipFile(tmp_path / "clip.npz", "a") as archive:
        archive.writestr("README.txt", b"Caf\xe9")
    assert np.array_equal(images(read_video(tmp_path / "clip.npz", layout="THWC")), noise(3))
    with pytest.raises(InputError, match=r"has no array 'README.txt'; found: frames"):
        read_video(tmp_path / "clip.npz", layout="THWC", key="README.txt")
