import numpy as np
import pytest

from scenewise.errors import InputError
from scenewise.media import TracksWriter, mask_box, read_video

from .disk import opened_by
from .footage import noise, write_video


def test_boxes_enclose_their_masks():
    mask = np.zeros((6, 8), bool)
    assert mask_box(mask) is None
    mask[2, 3] = True
    assert mask_box(mask) == (3, 2, 1, 1)
    mask[4, 7] = True
    assert mask_box(mask) == (3, 2, 5, 3)


def test_rows_have_ten_columns_and_count_frames_and_pixels_from_one(tmp_path):
    with TracksWriter(tmp_path / "tracks.csv", (64, 64), (0, 0, 64, 64)) as writer:
        writer.write_frame(0, {1: (3, 2, 5, 4), 2: (0, 0, 64, 64)}, {2: 0.25})
        writer.write_frame(1, {})
        writer.write_frame(9, {1: (4, 2, 5, 4)})
    assert (tmp_path / "tracks.csv").read_text().splitlines() == [
        "1,1,4,3,5,4,1,-1,-1,-1",
        "1,2,1,1,64,64,0.25,-1,-1,-1",
        "10,1,5,3,5,4,1,-1,-1,-1",
    ]


def test_boxes_are_scaled_back_to_source_pixels(tmp_path):
    write_video(tmp_path / "clip.mp4", noise(1, 40, 60))
    reader = read_video(tmp_path / "clip.mp4", crop=(10, 20, 30, 40), size=(15, 16))
    with TracksWriter.of(tmp_path / "tracks.csv", reader) as writer:
        writer.write_frame(0, {0: (0, 0, 16, 15), 1: (1, 2, 3, 4)})
    assert (tmp_path / "tracks.csv").read_text().splitlines() == [
        "1,0,21,11,40,30,1,-1,-1,-1",
        "1,1,23.5,15,7.5,8,1,-1,-1,-1",
    ]


def test_without_a_crop_boxes_span_the_source(tmp_path):
    write_video(tmp_path / "clip.mp4", noise(1, 40, 60))
    with TracksWriter.of(tmp_path / "tracks.csv", read_video(tmp_path / "clip.mp4", size=8)) as writer:
        writer.write_frame(0, {0: (0, 0, 8, 8)})
    assert (tmp_path / "tracks.csv").read_text() == "1,0,1,1,60,40,1,-1,-1,-1\n"


def test_rows_reach_the_file_at_once(tmp_path):
    writer = TracksWriter(tmp_path / "tracks.csv", (8, 8), (0, 0, 8, 8))
    writer.write_frame(0, {0: (0, 0, 8, 8)})
    assert (tmp_path / "tracks.csv").read_text().count("\n") == 1
    writer.close()
    writer.close()


@pytest.mark.parametrize("box", [(0, 0, 0, 4), (0, 0, 4, -1), (0, 0, float("nan"), 4)])
def test_a_box_without_area_is_refused(tmp_path, box):
    writer = TracksWriter(tmp_path / "tracks.csv", (8, 8), (0, 0, 8, 8))
    with pytest.raises(InputError, match="frame 3, id 5: expected a box with an area"):
        writer.write_frame(3, {1: (0, 0, 1, 1), 5: box})
    writer.close()
    assert (tmp_path / "tracks.csv").read_text() == ""


@pytest.mark.parametrize("room", [0, 5])
def test_a_full_disk_leaves_whole_rows(tmp_path, room):
    path = tmp_path / "tracks.csv"
    writer, file = opened_by(lambda: TracksWriter(path, (8, 8), (0, 0, 8, 8)))
    with writer:
        writer.write_frame(0, {0: (0, 0, 8, 8)})
        file.limit = path.stat().st_size + room
        with pytest.raises(InputError, match=r"no space left for tracks\.csv"):
            writer.write_frame(1, {0: (0, 0, 8, 8)})
    assert (tmp_path / "tracks.csv").read_text() == "1,0,1,1,8,8,1,-1,-1,-1\n"
