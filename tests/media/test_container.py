"""What stands beside the pictures of a file, or in its headers, and what becomes of the frames."""

import io
import os
import struct
from fractions import Fraction
from itertools import pairwise

import av
import numpy as np
import pytest
from PIL import Image

from scenewise.errors import InputError
from scenewise.media import read_video, read_videos

from .footage import images, noise, ramp, write_audio, write_video

TEST_PICTURE = ("-f", "lavfi", "-i", "testsrc=size=64x48:rate=12:duration=2")
H264 = ("-pix_fmt", "yuv420p", "-c:v", "libx264")


def write_jpegs(path, pictures, rate=12):
    """Put JPEG files, bytes, into a container as they are."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=rate)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuvj420p"
        for index, content in enumerate(pictures):
            packet = av.Packet(content)
            packet.stream, packet.pts, packet.dts, packet.time_base = stream, index, index, Fraction(1, rate)
            packet.is_keyframe = True
            container.mux(packet)


def jpeg(orientation=None):
    """A JPEG of a picture that is bright at its top left, with the camera's maker in its EXIF data."""
    pixels = np.zeros((48, 64, 3), np.uint8)
    pixels[:24, :32] = 250
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    if orientation is not None:
        exif[274] = orientation
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=95, exif=exif)
    return file.getvalue()


# -- beside the pictures ----------------------------------------------------------------------------------------------


def test_side_data_of_unknown_kinds_stop_nothing(tmp_path):
    write_jpegs(tmp_path / "exif.mov", [jpeg()] * 12)
    assert images(read_video(tmp_path / "exif.mov")).shape == (12, 48, 64, 3)


@pytest.mark.parametrize("orientation", [2, 3, 4, 5, 6, 7, 8])
def test_pictures_with_side_data_of_unknown_kinds_still_come_upright(tmp_path, orientation):
    """The EXIF tag says how to turn them; Pillow, which reads it from the picture itself, is the reference."""
    content = jpeg(orientation)
    write_jpegs(tmp_path / "exif.mov", [content] * 2)
    file = Image.open(io.BytesIO(content))
    turn = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}[orientation]  # Image.Transpose
    expected = np.asarray(file.transpose(Image.Transpose(turn)), int)
    first = images(read_video(tmp_path / "exif.mov"))[0]
    assert first.shape == expected.shape
    assert np.abs(first - expected).mean() < 4


@pytest.mark.parametrize("name", ["latin.mp4", "latin.mkv", "latin.mov", "latin.avi"])
def test_tags_that_are_no_utf8_stop_nothing(ffmpeg, tmp_path, name):
    ffmpeg(*TEST_PICTURE, *H264, "-metadata", b"title=Caf\xe9".decode("utf-8", "surrogateescape"), tmp_path / name)
    assert len(images(read_video(tmp_path / name))) == 24


def test_chapters_attachments_and_subtitles_stop_nothing(ffmpeg, tmp_path):
    (tmp_path / "notes.txt").write_bytes(b"Caf\xe9")
    (tmp_path / "meta").write_bytes(b";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1\nSTART=0\nEND=1\ntitle=Caf\xe9\n")
    (tmp_path / "words.srt").write_bytes(b"1\n00:00:00,000 --> 00:00:01,000\nhello\n")
    inputs = (*TEST_PICTURE, "-i", tmp_path / "meta", "-i", tmp_path / "words.srt", "-map", 0, "-map", 2)
    more = ("-map_metadata", 1, "-attach", tmp_path / "notes.txt", "-metadata:s:t", "mimetype=text/plain")
    ffmpeg(*inputs, *H264, *more, tmp_path / "all.mkv")
    reader = read_video(tmp_path / "all.mkv")
    assert (len(images(reader)), reader.problems) == (24, [])


# -- one of several videos --------------------------------------------------------------------------------------------


def write_two(ffmpeg, path, first="0", second="default"):
    maps = ("-map", "0:v", "-map", "0:v", "-filter:v:0", "scale=32:24")
    ffmpeg(*TEST_PICTURE, *maps, *H264, "-disposition:v:0", first, "-disposition:v:1", second, path)


@pytest.mark.parametrize(
    ("name", "dispositions", "size"),
    [
        ("two.mp4", ("0", "default"), (48, 64)),
        ("two.mp4", ("default", "0"), (24, 32)),
        ("two.mkv", ("0", "default"), (48, 64)),
        ("two.mkv", ("default", "0"), (24, 32)),
        ("two.mkv", ("0", "0"), (48, 64)),
    ],
)
def test_of_several_videos_the_default_or_else_the_largest_is_read_and_told(ffmpeg, tmp_path, name, dispositions, size):
    write_two(ffmpeg, tmp_path / name, *dispositions)
    reader = read_video(tmp_path / name)
    assert reader.source_size == size
    assert images(reader).shape == (24, *size, 3)
    (told,) = reader.problems
    for text in ("2 videos", "0 (32x24)", "1 (64x48)", "--stream"):
        assert text in told


def test_a_video_can_be_chosen(ffmpeg, tmp_path):
    write_two(ffmpeg, tmp_path / "two.mp4")
    for number, size in ((0, (24, 32)), (1, (48, 64))):
        reader = read_video(tmp_path / "two.mp4", stream=number)
        assert (reader.source_size, reader.problems) == (size, [])
        assert len(images(reader)) == 24
    with pytest.raises(InputError, match=r"expected a video of number 2; found 0 \(32x24\), 1 \(64x48\)"):
        read_video(tmp_path / "two.mp4", stream=2)


def test_a_choice_is_refused_where_there_is_none(tmp_path):
    np.save(tmp_path / "clip.npy", np.zeros((2, 8, 8), np.uint8))
    Image.fromarray(noise(1, 8, 8)[0]).save(tmp_path / "0.png")
    for path, options in ((tmp_path / "clip.npy", {"layout": "THW"}), (tmp_path / "0.png", {}), (tmp_path, {})):
        with pytest.raises(InputError, match="stream: can be chosen in a video file"):
            read_videos(path, stream=0, **options)
    with pytest.raises(InputError, match="stream: expected at least 0"):
        read_video(tmp_path / "0.png", stream=-1)


def test_a_cover_picture_is_no_video(ffmpeg, tmp_path):
    inputs = ("-f", "lavfi", "-i", "sine=d=1", "-f", "lavfi", "-i", "testsrc=size=64x48:rate=1:duration=1")
    ffmpeg(*inputs, "-map", 0, "-map", 1, "-c:a", "aac", "-c:v", "png", "-disposition:v:0", "attached_pic",
           tmp_path / "song.mp4")  # fmt: skip
    with pytest.raises(InputError, match=r"expected a video stream; found audio and a cover picture\."):
        read_video(tmp_path / "song.mp4")
    write_audio(tmp_path / "sound.mp4")
    with pytest.raises(InputError, match=r"expected a video stream; found audio\."):
        read_video(tmp_path / "sound.mp4")


def test_a_cover_before_the_video_is_passed_over(ffmpeg, tmp_path):
    Image.fromarray(noise(1, 96, 96)[0]).save(tmp_path / "cover.png")
    maps = ("-map", 1, "-map", 0, "-c:v:0", "png", "-disposition:v:0", "attached_pic", "-c:v:1", "libx264")
    ffmpeg(*TEST_PICTURE, "-i", tmp_path / "cover.png", *maps, "-pix_fmt:v:1", "yuv420p", tmp_path / "film.mp4")
    reader = read_video(tmp_path / "film.mp4")
    assert (reader.source_size, len(images(reader)), reader.problems) == ((48, 64), 24, [])


# -- transparency -----------------------------------------------------------------------------------------------------

HALF_CLEAR = "format=rgba,geq=r='r(X,Y)':g='g(X,Y)':b='b(X,Y)':a='if(lt(X,32),255,0)'"


@pytest.mark.parametrize(
    "codec", [("libvpx-vp9", "-b:v", "1M"), ("libvpx", "-b:v", "1M", "-auto-alt-ref", "0")], ids=["vp9", "vp8"]
)
@pytest.mark.parametrize("ending", ["webm", "mkv"])
def test_transparency_of_vp8_and_vp9_is_laid_on_black(ffmpeg, tmp_path, codec, ending):
    path = tmp_path / f"alpha.{ending}"
    green = ("-f", "lavfi", "-i", "color=c=lime:s=64x48:r=12:d=1", "-vf", HALF_CLEAR)
    ffmpeg(*green, "-c:v", *codec, "-pix_fmt", "yuva420p", path)
    reader = read_video(path)
    frames = images(reader)
    assert frames.shape == (12, 48, 64, 3)
    assert frames[:, :, 40:].max() <= 3
    assert np.abs(frames[:, :, :24].astype(int) - (0, 255, 0)).max() <= 8
    assert [frame.time_s for frame in reader] == pytest.approx([index / 12 for index in range(12)], abs=2e-3)
    assert reader.frame_count() == 12


def test_transparency_that_cannot_be_read_is_told(ffmpeg, tmp_path, monkeypatch):
    green = ("-f", "lavfi", "-i", "color=c=lime:s=64x48:r=12:d=1", "-vf", HALF_CLEAR)
    ffmpeg(*green, "-c:v", "libvpx-vp9", "-pix_fmt", "yuva420p", tmp_path / "alpha.webm")
    monkeypatch.setattr(av, "codecs_available", av.codecs_available - {"libvpx-vp9"})
    reader = read_video(tmp_path / "alpha.webm")
    assert len(images(reader)) == 12
    assert any("libvpx-vp9" in problem and "opaque" in problem for problem in reader.problems)


def test_a_second_layer_is_read_or_told(ffmpeg, tmp_path):
    green = ("-f", "lavfi", "-i", "color=c=lime:s=64x48:r=12:d=1", "-vf", HALF_CLEAR)
    hevc = ("-c:v", "libx265", "-pix_fmt", "yuva420p", "-tag:v", "hvc1", "-x265-params", "log-level=none")
    try:
        ffmpeg(*green, *hevc, tmp_path / "alpha.mov")
    except Exception:
        pytest.skip("this ffmpeg writes no H.265 with transparency")
    with av.open(str(tmp_path / "alpha.mov")) as container:
        decoded = next(container.decode(video=0)).format.name
    reader = read_video(tmp_path / "alpha.mov")
    frames = images(reader)
    assert len(frames) == 12
    if decoded == "yuva420p":  # PyAV 19 and later
        assert reader.problems == []
        assert frames[0][:, 40:].max() <= 2
        assert np.abs(frames[0][24, 10].astype(int) - (0, 255, 0)).max() <= 4
    else:
        assert any("second layer" in problem and "av 19" in problem for problem in reader.problems)


# -- headers and time stamps ------------------------------------------------------------------------------------------


def test_frames_that_an_edit_list_hides_are_not_counted(ffmpeg, tmp_path):
    ffmpeg("-f", "lavfi", "-i", "testsrc=size=64x48:rate=12:duration=10", *H264, "-g", 120, tmp_path / "whole.mp4")
    ffmpeg("-ss", 1.3, "-i", tmp_path / "whole.mp4", "-c", "copy", tmp_path / "trimmed.mp4")
    reader = read_video(tmp_path / "trimmed.mp4")
    everything = list(reader)
    assert (len(everything), reader.frame_count(), reader.length_hint, reader.problems) == (104, 104, 104, [])
    assert rising(reader)
    part = list(read_video(tmp_path / "trimmed.mp4", start=50, stop=53))
    assert all(np.array_equal(frame.image, everything[frame.index].image) for frame in part)
    assert read_video(tmp_path / "trimmed.mp4", start=2, every=3).frame_count() == 34


def test_an_edit_list_that_ends_early_is_no_damage(tmp_path):
    path = tmp_path / "clip.mp4"
    write_video(path, ramp(48), codec="libx264", gop=12, options={"bf": "0"})
    content = bytearray(path.read_bytes())
    place = content.find(b"elst")
    assert place > 0
    duration = struct.unpack(">I", content[place + 12 : place + 16])[0]
    content[place + 12 : place + 16] = struct.pack(">I", duration // 4)
    path.write_bytes(content)
    reader = read_video(path)
    assert (len(images(reader)), reader.frame_count(), reader.problems) == (12, 12, [])


def rising(reader):
    """Whether times of frames rise strictly, from 0."""
    times = [frame.time_s for frame in reader]
    return times[0] == 0 and all(after > before for before, after in pairwise(times))


def avi_chunks(content):
    """The head of an AVI up to its pictures, and each picture."""
    place, stop, chunks = content.find(b"movi") + 4, content.rfind(b"idx1"), []
    head = content[12 : place - 12]
    while place + 8 <= stop:
        size = struct.unpack("<I", content[place + 4 : place + 8])[0]
        if content[place : place + 4] == b"00dc":
            chunks.append(content[place + 8 : place + 8 + size])
        place += 8 + size + size % 2
    return head, chunks


def avi_of(head, chunks, index=True):
    """An AVI of these pictures."""
    movi, entries = b"", b""
    for chunk in chunks:
        entries += struct.pack("<4sIII", b"00dc", 16 if chunk else 0, len(movi) + 4, len(chunk))
        movi += b"00dc" + struct.pack("<I", len(chunk)) + chunk + bytes(len(chunk) % 2)
    body = head + b"LIST" + struct.pack("<I", len(movi) + 4) + b"movi" + movi
    body += b"idx1" + struct.pack("<I", len(entries)) + entries if index else b""
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"AVI " + body


@pytest.fixture
def motion_jpeg(tmp_path):
    write_video(tmp_path / "whole.avi", ramp(24), codec="mjpeg", pixels="yuvj420p", rate=12)
    return avi_chunks((tmp_path / "whole.avi").read_bytes())


@pytest.mark.parametrize("dropped", [(5, 6, 13), (22, 23), (1,)], ids=["inside", "at the end", "after the first"])
def test_frames_that_were_dropped_in_recording_are_no_damage(tmp_path, motion_jpeg, dropped):
    head, chunks = motion_jpeg
    content = [b"" if place in dropped else chunk for place, chunk in enumerate(chunks)]
    (tmp_path / "dropped.avi").write_bytes(avi_of(head, content))
    reader = read_video(tmp_path / "dropped.avi")
    places = [place for place in range(24) if place not in dropped]
    assert [round(frame.time_s * 12) for frame in reader] == places
    assert np.abs(images(reader)[:, 4, 4, 0].astype(int) - 4 * np.array(places)).max() <= 4
    assert (reader.frame_count(), reader.problems) == (len(places), [])


def test_a_head_that_counts_more_frames_than_there_are_is_no_damage(tmp_path, motion_jpeg):
    head, chunks = motion_jpeg
    content = bytearray(avi_of(head, chunks))
    for name, offset in ((b"avih", 24), (b"strh", 40)):
        place = content.find(name) + offset
        assert struct.unpack("<I", content[place : place + 4])[0] == 24
        content[place : place + 4] = struct.pack("<I", 100)
    (tmp_path / "liar.avi").write_bytes(content)
    reader = read_video(tmp_path / "liar.avi")
    assert (len(images(reader)), reader.frame_count(), reader.problems) == (24, 24, [])


@pytest.mark.parametrize("size", [b"\0\0\0\0", b"\xff\xff\xff\x7f"], ids=["0", "2 GiB"])
def test_a_head_that_does_not_know_the_size_of_its_file_is_no_damage(tmp_path, motion_jpeg, size):
    content = avi_of(*motion_jpeg)
    (tmp_path / "clip.avi").write_bytes(content[:4] + size + content[8:])
    reader = read_video(tmp_path / "clip.avi")
    assert (len(images(reader)), reader.problems) == (24, [])
    (tmp_path / "without.avi").write_bytes(avi_of(*motion_jpeg, index=False))
    reader = read_video(tmp_path / "without.avi")
    assert (len(images(reader)), reader.frame_count(), reader.problems) == (24, 24, [])


@pytest.mark.parametrize("codec", ["mpeg4", "libx264"])
def test_frames_of_an_avi_have_the_times_of_their_places(tmp_path, codec):
    write_video(tmp_path / "clip.avi", ramp(48), codec=codec, rate=12, options={"bf": "2"})
    reader = read_video(tmp_path / "clip.avi")
    assert [round(frame.time_s * 12, 3) for frame in reader] == list(range(48))
    assert np.abs(images(reader)[:, 4, 4, 0].astype(int) - 4 * np.arange(48)).max() <= 8
    assert (reader.frame_count(), reader.problems) == (48, [])


def test_packed_pictures_of_mpeg4_have_times_that_rise(tmp_path):
    """As DivX packs them: a chunk holds a picture and the one shown before it, and an empty picture follows."""
    write_video(tmp_path / "clip.avi", ramp(48), codec="mpeg4", rate=12, options={"bf": "1", "b_strategy": "0"})
    head, chunks = avi_chunks((tmp_path / "clip.avi").read_bytes())
    kinds = [chunk[chunk.find(b"\0\0\1\xb6") + 4] >> 6 for chunk in chunks]  # 2: shown before the one it follows
    packed, place = [], 0
    while place < len(chunks):
        pair = place + 1 < len(chunks) and kinds[place] != 2 and kinds[place + 1] == 2
        packed += [chunks[place] + chunks[place + 1], b"\0\0\1\xb6\x50\xbf"] if pair else [chunks[place]]
        place += 2 if pair else 1
    packed[0] = packed[0].replace(b"\0\0\1\xb6", b"\0\0\1\xb2DivX503b1393p\0\0\1\xb6", 1)  # who packs says so
    assert len(packed) == 48
    assert 2 in kinds
    (tmp_path / "packed.avi").write_bytes(avi_of(head, packed))
    reader = read_video(tmp_path / "packed.avi")
    assert rising(reader)
    assert [round(frame.time_s * 12, 3) for frame in reader] == list(range(48))
    assert (reader.frame_count(), reader.problems) == (48, [])


@pytest.mark.parametrize("name", ["vfr.mp4", "vfr.mkv"])
def test_variable_rates_keep_their_times_and_their_count(tmp_path, name):
    times = [0, 40, 80, 700, 740, 2000, 2040, 9000]
    write_video(tmp_path / name, ramp(8), times=times, codec="libx264", options={"bf": "0"})
    reader = read_video(tmp_path / name)
    assert [frame.time_s for frame in reader] == pytest.approx([time / 1000 for time in times], abs=2e-3)
    assert (reader.frame_count(), reader.problems) == (8, [])


def test_time_stamps_that_fall_back_go_on_from_there(monkeypatch, tmp_path):
    from scenewise.media import video

    write_video(tmp_path / "clip.mkv", ramp(12), rate=10)
    decoded = video.Decoding.__iter__

    def put_together(self):
        for number, frame in enumerate(decoded(self)):
            frame.pts = frame.pts if number < 6 else frame.pts - 600  # a second recording, which begins at 0
            yield frame

    monkeypatch.setattr(video.Decoding, "__iter__", put_together)
    reader = read_video(tmp_path / "clip.mkv")
    assert [frame.time_s for frame in reader] == pytest.approx([index / 10 for index in range(12)], abs=2e-3)
    assert any("do not rise" in problem for problem in reader.problems)


def test_interlaced_video_is_counted_by_frames(ffmpeg, tmp_path):
    fields = ("-vf", "tinterlace=interleave_top,setfield=tff", "-flags", "+ildct+ilme")
    ffmpeg(*TEST_PICTURE, *fields, "-c:v", "mpeg2video", tmp_path / "clip.mkv")
    reader = read_video(tmp_path / "clip.mkv")
    assert reader.frame_count() == len(images(reader)) == 12


# -- cut off, and whole -----------------------------------------------------------------------------------------------

ENCODINGS = {
    "ffv1.mkv": ("-c:v", "ffv1"),
    "h264.mkv": (*H264, "-g", "6"),
    "vp8.webm": ("-c:v", "libvpx", "-b:v", "1M"),
    "vp9.webm": ("-c:v", "libvpx-vp9", "-b:v", "1M"),
    "live.webm": ("-c:v", "libvpx", "-b:v", "1M", "-live", "1"),
    "mjpeg.avi": ("-c:v", "mjpeg", "-pix_fmt", "yuvj420p"),
    "fast.mp4": (*H264, "-movflags", "faststart", "-g", "2"),
    "pieces.mp4": (*H264, "-movflags", "frag_keyframe+empty_moov", "-g", "6"),
    "clip.gif": (),
}


@pytest.mark.parametrize("name", ENCODINGS)
def test_a_file_that_breaks_off_is_told_and_a_whole_one_is_not(ffmpeg, tmp_path, name):
    ffmpeg(*TEST_PICTURE, *ENCODINGS[name], tmp_path / name)
    reader = read_video(tmp_path / name)
    whole = images(reader)
    assert (len(whole), reader.frame_count(), reader.problems) == (24, 24, [])
    content = (tmp_path / name).read_bytes()
    (tmp_path / f"cut-{name}").write_bytes(content[: len(content) * 6 // 10])
    reader = read_video(tmp_path / f"cut-{name}")
    part = images(reader)
    assert 0 < len(part) < 24
    assert np.array_equal(part[:-1], whole[: len(part) - 1])
    (told,) = reader.problems
    assert "is cut off or damaged" in told
    assert f"{len(part)} " in told
    assert reader.frame_count() == len(part)


def test_the_frames_that_a_cut_matroska_should_have_are_told(ffmpeg, tmp_path):
    ffmpeg(*TEST_PICTURE, "-c:v", "ffv1", tmp_path / "whole.mkv")
    content = (tmp_path / "whole.mkv").read_bytes()
    (tmp_path / "cut.mkv").write_bytes(content[: len(content) // 2])
    reader = read_video(tmp_path / "cut.mkv")
    count = len(images(reader))
    assert reader.problems == [f"is cut off or damaged; {count} of about 24 frames could be read."]


@pytest.mark.parametrize("name", ["long.mkv", "long.webm", "long.mp4"])
def test_sound_that_goes_on_after_the_pictures_is_no_damage(ffmpeg, tmp_path, name):
    sound = ("-f", "lavfi", "-i", "sine=d=5")
    codecs = ("-c:v", "libvpx", "-c:a", "libopus") if name.endswith("webm") else (*H264, "-c:a", "aac")
    ffmpeg(*TEST_PICTURE, *sound, *codecs, tmp_path / name)
    reader = read_video(tmp_path / name)
    assert (len(images(reader)), reader.length_hint, reader.problems) == (24, 24, [])


@pytest.mark.parametrize("name", ["fast.mp4", "vp8.webm", "clip.gif", "mjpeg.avi", "ffv1.mkv"])
def test_what_other_programs_write_behind_a_file_is_no_damage(ffmpeg, tmp_path, name):
    ffmpeg(*TEST_PICTURE, *ENCODINGS[name], tmp_path / name)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content + bytes(range(1, 256)) * 3)
    reader = read_video(tmp_path / name)
    assert (len(images(reader)), reader.problems) == (24, [])


@pytest.mark.parametrize("ending", ["gif", "mp4", "mkv", "avi"])
@pytest.mark.parametrize("size", [1 << 20, 1 << 42], ids=["a mebibyte", "four tebibytes"])
def test_a_video_of_zeros_is_refused_at_once(tmp_path, ending, size):
    path = tmp_path / f"zeros.{ending}"
    path.touch()
    try:
        os.truncate(path, size)
    except OSError:
        pytest.skip("this file system has no such files")
    with pytest.raises(InputError, match=r"found: zeros|of which 0 were ever written"):
        read_video(path)


# -- remedies ---------------------------------------------------------------------------------------------------------


def test_a_transport_stream_under_another_ending_is_named_and_its_remedy_works(ffmpeg, tmp_path, monkeypatch):
    import shlex

    monkeypatch.chdir(tmp_path)
    for name in ("-my clip.mp4", "clip.ts"):
        ffmpeg(*TEST_PICTURE, *H264, "-f", "mpegts", f"./{name}")
        with pytest.raises(InputError, match="MPEG-TS") as caught:
            read_video(name)
        program, *words = shlex.split(caught.value.remedy.partition(": ")[2])
        assert program == "ffmpeg"
        ffmpeg(*words)
        assert len(images(read_video(words[-1]))) == 24


@pytest.mark.parametrize(
    ("muxer", "ending", "kind"),
    [
        ("flv", "mp4", "Flash"),
        ("mpeg", "avi", "program stream"),
        ("asf", "mov", "Windows Media"),
        ("ogg", "mkv", "Ogg"),
    ],
)
def test_videos_of_other_containers_are_named_and_converting_them_works(ffmpeg, tmp_path, muxer, ending, kind):
    import shlex

    codecs = {"flv": "flv", "mpeg": "mpeg1video", "asf": "msmpeg4", "ogg": "libtheora"}
    rate = ("-r", "25") if muxer == "mpeg" else ()
    try:
        ffmpeg(*TEST_PICTURE, *rate, "-c:v", codecs[muxer], "-f", muxer, tmp_path / f"clip.{ending}")
    except Exception:
        pytest.skip(f"this ffmpeg writes no {muxer}")
    with pytest.raises(InputError, match=kind) as caught:
        read_video(tmp_path / f"clip.{ending}")
    _, *words = shlex.split(caught.value.remedy.partition(": ")[2])
    ffmpeg(*words)
    assert len(images(read_video(words[-1]))) >= 24


def test_files_under_the_ending_of_another_kind_say_how_they_should_be_named(tmp_path):
    Image.fromarray(noise(1, 8, 8)[0]).save(tmp_path / "clip.png")
    write_video(tmp_path / "film.mkv", noise(3))
    for path, wrong in ((tmp_path / "clip.png", "clip.mp4"), (tmp_path / "film.mkv", "film.png")):
        path.rename(tmp_path / wrong)
        with pytest.raises(InputError, match=rf"Rename it to end in \{path.suffix}\."):
            read_video(tmp_path / wrong)
        (tmp_path / wrong).rename(path)
        assert len(images(read_video(path)))
    (tmp_path / "page.mp4").write_text("<!DOCTYPE html><title>404</title>")
    with pytest.raises(InputError, match="a web page"):
        read_video(tmp_path / "page.mp4")
    (tmp_path / "lfs.mp4").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    with pytest.raises(InputError, match="git lfs pull"):
        read_video(tmp_path / "lfs.mp4")


def test_frames_before_the_first_time_stamp_have_times_too(ffmpeg, tmp_path):
    ffmpeg(*TEST_PICTURE, *H264, tmp_path / "whole.mp4")
    early = ("-itsoffset", "-0.5", "-i", tmp_path / "whole.mp4", "-c", "copy", "-avoid_negative_ts", "disabled")
    ffmpeg(*early, tmp_path / "early.mkv")  # Matroska holds no times below 0: those frames have none
    times = [frame.time_s for frame in read_video(tmp_path / "early.mkv")]
    assert len(times) == 24
    np.testing.assert_allclose(times, np.arange(24) / 12, atol=0.002)


def test_an_encrypted_video_is_told(ffmpeg, tmp_path):
    key = ("-encryption_scheme", "cenc-aes-ctr", "-encryption_key", "76a6c65c5ea762046bd749a2e632ccbb")
    ffmpeg(*TEST_PICTURE, *H264, *key, "-encryption_kid", "a7e61c373e219033c21091fa607bf3b8", tmp_path / "locked.mp4")
    with pytest.raises(InputError, match="is encrypted"):
        read_video(tmp_path / "locked.mp4")


def test_a_recording_that_was_never_finished_is_told(ffmpeg, tmp_path):
    ffmpeg(*TEST_PICTURE, *H264, tmp_path / "whole.mp4")
    content = (tmp_path / "whole.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(content[: content.rindex(b"moov") - 4])
    with pytest.raises(InputError, match="is cut off: its index") as caught:
        read_video(tmp_path / "cut.mp4")
    assert "untrunc" in caught.value.remedy


@pytest.mark.parametrize(
    ("ending", "head", "kind", "remedy"),
    [
        (".mjpeg", b"\xff\xd8\xff\xe0", "a bare Motion JPEG video", "ffmpeg -i"),
        (".nut", b"nut/multimedia container\0", "a NUT video", "ffmpeg -i"),
        (".dv", b"\x1f\x07\0\x3f", "a DV video", "ffmpeg -i"),
        (".ts", b"cut" + (b"G" + bytes(187)) * 9, "MPEG-TS", "ffmpeg -i"),
        (".m4a", b"\0\0\0\x20ftypM4A ", "sound", "Give a video"),
        (".mp4", b"RIFF\0\0\0\0WAVEfmt ", "sound", "Give a video"),
        (".heic", b"\0\0\0\x24ftypheic", "a HEIF image", "PNG or TIFF"),
        (".dng", b"II*\0", "a camera's raw image", "PNG or TIFF"),
        (".mat", b"MATLAB 5.0 MAT-file", "a MATLAB file", "-v7.3"),
        (".mat", b"MATLAB 7.3 MAT-file".ljust(512) + b"\x89HDF\r\n\x1a\n", "an HDF5 file", "Rename it to end in .h5."),
    ],
)
def test_kinds_that_are_not_read_are_named_with_a_way(tmp_path, ending, head, kind, remedy):
    path = tmp_path / f"clip{ending}"
    path.write_bytes(head + bytes(600))
    with pytest.raises(InputError) as caught:
        read_video(path)
    assert kind in str(caught.value)
    assert remedy in caught.value.remedy


def test_avif_animations_are_read(tmp_path):
    features = pytest.importorskip("PIL.features")
    if not features.check("avif"):
        pytest.skip("this Pillow reads no AVIF")
    pages = [Image.new("RGB", (64, 48), (40 * n, 0, 0)) for n in range(5)]
    pages[0].save(tmp_path / "clip.avif", save_all=True, append_images=pages[1:], duration=100, quality=100)
    frames = list(read_video(tmp_path / "clip.avif"))
    np.testing.assert_allclose([frame.time_s for frame in frames], np.arange(5) / 10, atol=1e-6)
    np.testing.assert_allclose([frame.image[24, 32, 0] for frame in frames], 40 * np.arange(5), atol=3)


def test_a_folder_of_other_pictures_says_what_it_holds(tmp_path):
    for n in range(3):
        (tmp_path / f"IMG_{n}.HEIC").write_bytes(b"\0\0\0\x24ftypheic")
    with pytest.raises(InputError, match=r"none, but 3 of \.HEIC"):
        read_video(tmp_path)
