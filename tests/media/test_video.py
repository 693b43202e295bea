import pickle
import sys

import av
import numpy as np
import pytest
from PIL import Image

from scenewise.errors import InputError
from scenewise.media import read_video, video

from .footage import images, noise, ramp, write_audio, write_video


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mov", "clip.mkv", "clip.avi"])
def test_lossless_files_come_back_bit_for_bit(tmp_path, name):
    frames = noise()
    write_video(tmp_path / name, frames)
    reader = read_video(tmp_path / name)
    assert np.array_equal(images(reader), frames)
    assert np.array_equal(images(reader), frames), "the second iteration starts anew"
    assert (reader.size, reader.source_size, reader.crop, reader.name) == ((20, 24), (20, 24), None, "clip")
    assert reader.frame_rate == pytest.approx(10)
    assert reader.length_hint == 6
    assert [f.index for f in reader] == list(range(6))
    assert [f.time_s for f in reader] == pytest.approx([i / 10 for i in range(6)], abs=1e-3)
    assert reader.problems == []


@pytest.mark.parametrize(("name", "codec"), [("clip.mp4", "libx264"), ("clip.webm", "libvpx-vp9")])
def test_lossy_files_keep_levels_and_length(tmp_path, name, codec):
    frames = ramp(30)
    write_video(tmp_path / name, frames, codec=codec)
    read = images(read_video(tmp_path / name)).astype(int)
    assert read.shape == frames.shape
    assert np.abs(read - frames).max() <= 4


def test_crop_is_in_source_pixels_and_may_be_odd(tmp_path):
    frames = noise()
    write_video(tmp_path / "clip.mp4", frames)
    reader = read_video(tmp_path / "clip.mp4", crop=(3, 5, 7, 9))
    assert np.array_equal(images(reader), frames[:, 3:10, 5:14])
    assert (reader.size, reader.source_size, reader.crop) == ((7, 9), (20, 24), (3, 5, 7, 9))


def test_scaling_averages_areas_after_the_crop(tmp_path):
    frames = noise(height=32, width=48)
    write_video(tmp_path / "clip.mp4", frames)
    read = images(read_video(tmp_path / "clip.mp4", crop=(0, 8, 32, 32), size=8)).astype(float)
    expected = frames[:, :, 8:40].reshape(-1, 8, 4, 8, 4, 3).mean((2, 4))
    assert np.abs(read - expected).max() <= 2


def test_every_start_and_stop_select_source_frames(tmp_path):
    frames = noise(frames=20)
    write_video(tmp_path / "clip.mp4", frames)
    reader = read_video(tmp_path / "clip.mp4", start=3, stop=17, every=4)
    assert [f.index for f in reader] == [3, 7, 11, 15]
    assert np.array_equal(images(reader), frames[3:17:4])
    assert reader.length_hint == 4
    assert reader.frame_rate == pytest.approx(2.5)
    assert [f.time_s for f in reader] == pytest.approx([0.3, 0.7, 1.1, 1.5], abs=1e-3)


def test_one_channel_is_luma(tmp_path):
    frames = noise()
    write_video(tmp_path / "clip.mp4", frames)
    read = images(read_video(tmp_path / "clip.mp4", channels=1))
    assert read.shape == (6, 20, 24, 1)
    assert np.abs(read[..., 0] - frames @ [0.299, 0.587, 0.114]).max() <= 0.5 + 1e-6


@pytest.mark.parametrize(
    ("codec", "options"),
    [
        ("libx264", {}),
        ("libx264", {"x264-params": "open-gop=1:bframes=3"}),
        ("mpeg2video", {"bf": "2", "sc_threshold": "1000000000"}),
        ("mpeg4", {"bf": "2"}),
    ],
    ids=["closed", "open groups", "mpeg2", "mpeg4"],
)
@pytest.mark.parametrize("start", [1, 8, 9, 10, 11, 35, 59])
def test_a_start_gives_the_same_frames_as_decoding_from_the_first(tmp_path, start, codec, options):
    path = tmp_path / "clip.mp4"
    write_video(path, noise(60, 32, 32), codec=codec, gop=10, rate=25, options=options)
    everything = list(read_video(path))
    part = list(read_video(path, start=start, stop=start + 6))
    assert [f.index for f in part] == list(range(start, min(60, start + 6)))
    for frame in part:
        assert frame.time_s == everything[frame.index].time_s
        assert np.array_equal(frame.image, everything[frame.index].image)


@pytest.mark.parametrize("late", [1, 3, 30])
@pytest.mark.parametrize("codec", ["libx264", "mpeg2video", "mpeg4"])
def test_a_seek_that_lands_too_late_is_made_good(tmp_path, monkeypatch, codec, late):
    path = tmp_path / "clip.mp4"
    write_video(path, noise(60, 32, 32), codec=codec, gop=10, rate=25, options={"bf": "2"})
    everything = list(read_video(path))
    exact = video.jump_to

    def beyond(stream, start, first_pts):
        jump = exact(stream, start, first_pts)
        return video.Jump(round(jump.timestamp + late * jump.step), jump.step)

    monkeypatch.setattr(video, "jump_to", beyond)
    for start in (8, 9, 10, 11, 19, 20):
        part = list(read_video(path, start=start, stop=start + 3))
        assert [f.index for f in part] == [start, start + 1, start + 2]
        assert all(np.array_equal(f.image, everything[f.index].image) for f in part)


def _count_decoded(monkeypatch, reader):
    made = []
    monkeypatch.setattr(video, "Decoding", lambda *a, kind=video.Decoding: made.append(kind(*a)) or made[-1])
    list(reader)
    return sum(decoding.count for decoding in made)


def test_a_late_start_does_not_decode_what_comes_before(tmp_path, monkeypatch):
    write_video(tmp_path / "clip.mp4", noise(120, 32, 32), codec="libx264", gop=10)
    assert _count_decoded(monkeypatch, read_video(tmp_path / "clip.mp4", start=112)) <= 18


def test_a_start_in_a_file_of_variable_rate_is_counted_from_its_beginning(tmp_path):
    frames, times = noise(8), [0, 40, 80, 700, 740, 2000, 2040, 2500]
    write_video(tmp_path / "clip.mp4", frames, times=times)
    assert np.array_equal(images(read_video(tmp_path / "clip.mp4", start=5)), frames[5:])


def test_a_variable_rate_whose_times_look_like_other_frames_is_not_sought(tmp_path):
    times = [*range(0, 80, 10), 600, 800, 900, 1100]  # at 100 per frame, 900 would be frame 9; it is frame 10
    write_video(tmp_path / "clip.mp4", ramp(12), times=times, codec="libx264", gop=4, options={"bf": "0"})
    first = next(iter(read_video(tmp_path / "clip.mp4", start=9)))
    assert first.time_s == pytest.approx(0.8, abs=2e-3)
    assert abs(int(first.image[0, 0, 0]) - 36) <= 2


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv"])
def test_variable_frame_rate_keeps_real_times(tmp_path, name):
    times = [0, 40, 80, 700, 740, 2000]
    write_video(tmp_path / name, noise(6), times=times)
    assert [f.time_s for f in read_video(tmp_path / name)] == pytest.approx([t / 1000 for t in times], abs=2e-3)


def test_times_count_from_the_first_frame(tmp_path):
    write_video(tmp_path / "clip.mkv", noise(3), times=[5000, 5100, 5200])
    assert [f.time_s for f in read_video(tmp_path / "clip.mkv")] == pytest.approx([0, 0.1, 0.2], abs=2e-3)


@pytest.mark.parametrize(
    ("turn", "shown"),
    [
        ((90, False, False), lambda f: np.rot90(f, 1, (1, 2))),
        ((180, False, False), lambda f: np.rot90(f, 2, (1, 2))),
        ((-90, False, False), lambda f: np.rot90(f, -1, (1, 2))),
        ((0, True, False), lambda f: f[:, :, ::-1]),
        ((0, False, True), lambda f: f[:, ::-1]),
    ],
    ids=["90", "180", "-90", "mirrored", "upside down"],
)
def test_rotation_in_the_metadata_is_applied_before_the_crop(tmp_path, turn, shown):
    if not hasattr(av.VideoStream, "set_display_rotation"):
        pytest.skip("this PyAV cannot write rotation")
    frames = noise()
    write_video(tmp_path / "clip.mov", frames, turn=turn)
    expected = shown(frames)
    reader = read_video(tmp_path / "clip.mov")
    assert reader.source_size == expected.shape[1:3]
    assert np.array_equal(images(reader), expected)
    assert np.array_equal(images(read_video(tmp_path / "clip.mov", crop=(2, 3, 10, 8))), expected[:, 2:12, 3:11])


def test_transparency_is_laid_on_black(tmp_path):
    frames = noise(channels=4)
    write_video(tmp_path / "clip.mov", frames, pixels="rgba")
    expected = frames[..., :3] * (frames[..., 3:] / 255)
    assert np.abs(images(read_video(tmp_path / "clip.mov")) - expected).max() <= 1.5


def test_gif_disposal_and_transparency_agree_with_pillow(tmp_path):
    palette = np.zeros((3, 12, 12), np.uint8)
    palette[0, 1:5, 1:5], palette[1, 4:8, 4:8], palette[2, 7:11, 7:11] = 1, 2, 3
    pages = []
    for page in palette:
        image = Image.fromarray(page, "P")
        image.putpalette([9, 9, 9, 255, 0, 0, 0, 255, 0, 0, 0, 255])
        pages.append(image)
    path = tmp_path / "clip.gif"
    pages[0].save(path, save_all=True, append_images=pages[1:], disposal=2, transparency=0, duration=[100, 300, 50])
    colours = np.array([[0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 255]], np.uint8)
    read = list(read_video(path))
    assert np.array_equal(np.stack([f.image for f in read]), colours[palette])
    assert [f.time_s for f in read] == pytest.approx([0, 0.1, 0.4])


@pytest.mark.parametrize(
    ("pixels", "layout"), [("gray16le", "gray16le"), ("gray", "gray"), ("gray10le", "gray")], ids=["16", "8", "10 bits"]
)
def test_grey_of_any_depth_becomes_eight_bit_rgb(tmp_path, pixels, layout):
    grey = np.linspace(0, 255, 16 * 16).reshape(1, 16, 16, 1)
    frames = np.round(grey * 257).astype(np.uint16) if layout == "gray16le" else np.round(grey).astype(np.uint8)
    write_video(tmp_path / "clip.mkv", frames, codec="ffv1", pixels=pixels, layout=layout)
    read = images(read_video(tmp_path / "clip.mkv"))
    assert read.dtype == np.uint8
    assert np.abs(read.astype(float) - grey).max() <= 1.5


def test_one_frame_and_one_pixel_are_enough(tmp_path):
    frames = noise(1, 1, 1)
    write_video(tmp_path / "dot.mov", frames)
    assert np.array_equal(images(read_video(tmp_path / "dot.mov")), frames)
    assert images(read_video(tmp_path / "dot.mov", size=(4, 6))).shape == (1, 4, 6, 3)


def test_a_size_and_format_that_change_on_the_way_are_followed(tmp_path):
    path = tmp_path / "clip.mov"
    _write_two_sizes(path)
    assert images(read_video(path)).shape == (4, 16, 16, 3)
    read = images(read_video(path, crop=(2, 1, 5, 3))).astype(float)
    clear = noise(1, 8, 12, 4)[0, 2:7, 1:4]
    expected = [noise(1, 16, 16)[0, 2:7, 1:4]] * 2 + [clear[..., :3] * (clear[..., 3:] / 255)] * 2
    assert np.abs(read - expected).max() <= 1.5
    with pytest.raises(InputError, match=r"frame 2: the crop .* outside the frame of height 8, width 12"):
        list(read_video(path, crop=(0, 0, 16, 16)))


_TWO_KINDS = [(16, 16, "rgb24")] * 2 + [(8, 12, "rgba")] * 2


def _write_two_sizes(path):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("png", rate=10)
        stream.height, stream.width, stream.pix_fmt = 16, 16, "rgb24"
        for index, (height, width, pixels) in enumerate(_TWO_KINDS):
            coder = av.CodecContext.create("png", "w")
            coder.height, coder.width, coder.pix_fmt, coder.time_base = height, width, pixels, video.Fraction(1, 10)
            frame = av.VideoFrame.from_ndarray(noise(1, height, width, len(pixels[:4].rstrip("24")))[0], format=pixels)
            for packet in coder.encode(frame) + coder.encode(None):
                packet.stream, packet.pts, packet.dts = stream, index * 100, index * 100
                packet.time_base = video.Fraction(1, 1000)
                container.mux(packet)


def test_a_file_cut_in_the_middle_gives_the_frames_there_are(tmp_path):
    path = tmp_path / "clip.mp4"
    frames = noise(40)
    write_video(path, frames)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    reader = read_video(path)
    with pytest.warns(UserWarning, match="clip.mp4"):
        read = images(reader)
    assert 15 <= len(read) < 25
    assert np.array_equal(read[:15], frames[:15])
    assert any("of 40 frames" in problem for problem in reader.problems)
    before = list(reader.problems)
    images(reader)
    assert reader.problems == before, "each problem is told once"


def test_a_broken_packet_does_not_end_the_video(tmp_path):
    path = tmp_path / "clip.mov"
    frames = noise(12)
    write_video(path, frames)
    content = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        packet = [p for p in container.demux(video=0) if p.size][5]
        place = content.find(bytes(packet))
    content[place : place + packet.size] = bytes(packet.size)
    path.write_bytes(content)
    reader = read_video(path)
    with pytest.warns(UserWarning, match="damaged .*11 of 12 frames"):
        read = images(reader)
    assert np.array_equal(read, np.delete(frames, 5, axis=0))


def test_a_cut_that_took_the_header_is_an_input_error(tmp_path):
    path = tmp_path / "clip.mp4"
    write_video(path, noise(40), movflags="")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputError, match=r"clip\.mp4: is cut off: its index") as caught:
        read_video(path)
    assert caught.value.remedy


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv", "a.webm", "a.avi", "a.gif"])
@pytest.mark.parametrize("content", [b"", b"\0" * 4096, b"not a video at all\n" * 50], ids=["empty", "zeros", "text"])
def test_what_is_no_video_is_an_input_error(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=name) as caught:
        read_video(tmp_path / name)
    assert caught.value.remedy
    assert ("0 bytes" in caught.value.problem) == (not content)


def test_a_header_without_frames_is_an_input_error(tmp_path):
    with av.open(str(tmp_path / "none.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.height, stream.width, stream.pix_fmt = 16, 16, "bgr0"
        container.start_encoding()
    with pytest.raises(InputError, match=r"none\.mkv"):
        read_video(tmp_path / "none.mkv")


def test_sound_alone_is_an_input_error(tmp_path):
    write_audio(tmp_path / "sound.mp4")
    with pytest.raises(InputError, match="expected a video stream; found audio"):
        read_video(tmp_path / "sound.mp4")


def test_a_playlist_posing_as_a_video_reads_no_other_file(tmp_path):
    write_video(tmp_path / "secret.mp4", noise())
    (tmp_path / "list.mp4").write_text("ffconcat version 1.0\nfile secret.mp4\n")
    (tmp_path / "stream.mp4").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nsecret.mp4\n#EXT-X-ENDLIST\n")
    for name in ("list.mp4", "stream.mp4"):
        with pytest.raises(InputError, match=name):
            read_video(tmp_path / name)


def test_a_colon_in_the_name_is_no_protocol(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_video(tmp_path / "plain.mp4", noise())
    (tmp_path / "plain.mp4").rename(tmp_path / "http:clip.mp4")
    reader = read_video("http:clip.mp4")
    assert (len(images(reader)), reader.name) == (6, "http_clip")


def test_a_crop_outside_the_image_is_an_input_error(tmp_path):
    write_video(tmp_path / "clip.mp4", noise())
    with pytest.raises(InputError, match=r"left 20.*outside the frame of height 20, width 24.*--crop"):
        read_video(tmp_path / "clip.mp4", crop=(0, 20, 10, 10))


def test_a_start_after_the_end_is_an_input_error(tmp_path):
    write_video(tmp_path / "clip.mp4", noise())
    with pytest.raises(InputError, match="expected a frame at index 6"):
        list(read_video(tmp_path / "clip.mp4", start=6))


def test_readers_travel_to_worker_processes(tmp_path):
    frames = noise()
    write_video(tmp_path / "clip.mp4", frames)
    reader = read_video(tmp_path / "clip.mp4", start=2)
    next(iter(reader))
    assert np.array_equal(images(pickle.loads(pickle.dumps(reader))), frames[2:])


def test_leaving_the_block_closes_iterations_left_half_way(tmp_path):
    write_video(tmp_path / "clip.mp4", noise())
    with read_video(tmp_path / "clip.mp4") as reader:
        iteration = iter(reader)
        next(iteration)
    with pytest.raises(StopIteration):
        next(iteration)
    assert len(images(reader)) == 6


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads resident memory from /proc")
def test_memory_does_not_grow_with_the_length_of_the_video(tmp_path):
    write_video(tmp_path / "long.mp4", ramp(3000, 64, 64), codec="libx264", options={"preset": "ultrafast"})
    resident = {}
    for frame in read_video(tmp_path / "long.mp4"):
        if frame.index in (300, 2999):
            with open("/proc/self/statm") as file:
                resident[frame.index] = int(file.read().split()[1]) * 4096
    # 2,700 frames of 64x64x3 would be 33 MB
    assert resident[2999] - resident[300] < 8e6


def test_real_files_are_read_to_their_end(shared_data):
    bottles = read_video(shared_data / "video/intel_bottle-detection.mp4", size=64, crop=(0, 140, 360, 360))
    assert sum(1 for _ in bottles) == bottles.length_hint == 1189
    assert (bottles.size, bottles.source_size, bottles.problems) == ((64, 64), (360, 640), [])
    assert images(read_video(shared_data / "video/intel_bolt-multi-size-detection.gif")).shape == (37, 270, 480, 3)
    for path in sorted((shared_data / "movi_gifs").glob("*.gif")):
        assert images(read_video(path)).shape == (24, 256, 256, 3)


def test_seeking_in_a_real_file_gives_the_same_frames(shared_data):
    path = shared_data / "video/intel_bottle-detection.mp4"
    everything = [f.image for f in read_video(path, size=32, stop=700)]
    for start in (1, 350, 695):
        part = list(read_video(path, size=32, start=start, stop=start + 4))
        assert all(np.array_equal(f.image, everything[f.index]) for f in part)


def test_real_gifs_agree_with_pillow(shared_data):
    path = shared_data / "movi_gifs/movi_a_1.gif"
    with Image.open(path) as file:
        for frame in read_video(path):
            file.seek(frame.index)
            assert np.array_equal(frame.image, np.asarray(file.convert("RGB")))


def test_the_file_that_aborts_opencv_gives_frames(shared_data):
    assert images(read_video(shared_data / "video/malformed_rawdib.avi")).shape == (51, 48, 48, 3)
