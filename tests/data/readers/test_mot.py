"""MOT sequences: boxes as ids, number bases, order, detections without tracks, videos with a CSV file, and refusals."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from PIL import Image
from tests.processes import pool

from scenewise.data import SOURCES
from scenewise.data.readers.mot import paint_boxes, read_boxes
from scenewise.errors import InputError
from scenewise.media import TracksWriter, VideoWriter, mask_box, read_video

SIZE, TIME = (24, 40), 5


def read(path, split="train", **settings):
    return SOURCES.get("mot")(split, path=str(path), **settings)


def boxes_of(frame):
    """Left, top, width, height from 0 by track; 12 lies in 4 in part, 7 is away in frames 1 and 2."""
    found = {4: (2 + frame, 3, 14, 12), 12: (10, 8, 9, 10)}
    if frame not in (1, 2):
        found[7] = (30, 0, 15, 6)  # reaches outside
    return found


def rows(base=1, frame_base=1, columns=9):
    lines = []
    for track in (12, 4, 7):
        for frame in range(TIME):
            if track in boxes_of(frame):
                left, top, width, height = boxes_of(frame)[track]
                row = [frame + frame_base, track, left + base, top + base, width, height, 1, 1, 0.5, -1]
                lines.append(",".join(map(str, row[:columns])))
    lines.append(f"{1 + frame_base},99,{20 + base},{15 + base},4,4,0,8,1,-1"[: None if columns > 9 else -3])
    return "\n".join(lines) + "\n"


def write_sequence(folder, images="img1"):
    for frame in range(TIME):
        file = folder / images / f"{frame + 1:06d}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((*SIZE, 3), 40 * frame, np.uint8)).save(file)
    (folder / "gt").mkdir()
    (folder / "gt" / "gt.txt").write_text(rows())
    (folder / "seqinfo.ini").write_text(f"[Sequence]\nname={folder.name}\nimDir={images}\nframeRate=30\n")
    return folder


@pytest.fixture
def root(tmp_path):
    for name in ("MOT17-02", "MOT17-10"):
        write_sequence(tmp_path / "train" / name)
    return tmp_path


def expected(order=(4, 12, 7), unscored=True):
    """The tracks in `order` are painted one over the other; ids are their ranks."""
    ids = np.zeros((TIME, *SIZE), np.int64)
    for frame in range(TIME):
        if frame == 1 and unscored:
            ids[frame, 15:19, 20:24] = -1
        for track in order:
            if track in boxes_of(frame):
                left, top, width, height = boxes_of(frame)[track]
                ids[frame, top : top + height, left : left + width] = 1 + sorted((4, 7, 12)).index(track)
    return ids


def test_boxes_are_ids_and_marked_so(root):
    source = read(root)
    assert (len(source), source.facts.size, source.facts.frames, source.facts.max_objects) == (2, SIZE, TIME, 3)
    assert "BOXES" in source.facts.origin
    sample = source.sample(1)
    assert sample.extras["video"] == "MOT17-10"
    assert np.array_equal(sample.ids, expected())
    assert sample.frames[:, 0, 0, 0].tolist() == [0, 40, 80, 120, 160]
    assert sample.extras["tracks"] == [4, 7, 12]
    assert sample.extras["boxes"].shape == (TIME, 3, 4)
    for frame in range(TIME):
        for place, track in enumerate((4, 7, 12)):
            box = sample.extras["boxes"][frame, place]
            assert np.isnan(box).all() if track not in boxes_of(frame) else box.tolist() == list(boxes_of(frame)[track])
    part = source.sample(1, 2, 2)
    assert np.array_equal(part.ids, expected()[2:4])
    assert np.array_equal(part.frames, sample.frames[2:4])
    assert part.extras["boxes"].shape == (2, 3, 4)


@pytest.mark.parametrize("columns", [7, 9, 10])
@pytest.mark.parametrize("base", [0, 1])
def test_number_bases_and_columns(tmp_path, base, columns):
    text = "\n".join(line for line in rows(base, base, columns).splitlines() if ",99," not in line)
    (tmp_path / "gt.txt").write_text(text)
    found = read_boxes(tmp_path / "gt.txt", base, base)
    assert found.tracks == [4, 7, 12]
    assert sorted(found.rows) == list(range(TIME))
    assert {tuple(row[1:5]) for row in found.rows[1]} == set(boxes_of(1).values())


def test_who_is_on_top(root):
    assert np.array_equal(read(root, order="depth").sample(0).ids, expected((7, 4, 12)))
    none = read(root, order="none")
    assert none.facts.overlap == "ignore"
    both = (expected((4,)) > 0) & (expected((12,)) > 0)
    assert both.any()
    assert np.array_equal(none.sample(0).ids, np.where(both, -1, expected()))
    assert np.array_equal(read(root, unscored="drop").sample(0).ids, expected(unscored=False))


def test_three_boxes_at_one_place_are_unscored():
    table = np.array([[n, 1.0, 1, 2, 2, 1] for n in (1, 2, 3)])
    ids = paint_boxes(table, (4, 4), "none")
    assert (ids[1:3, 1:3] == -1).all()
    assert np.count_nonzero(ids) == 4


def test_fractions_of_pixels_go_by_centres():
    ids = paint_boxes(np.array([[1, 0.6, 0.4, 2.0, 1.0, 1]]), (3, 5))
    assert np.array_equal(np.argwhere(ids), [[0, 1], [0, 2]])
    assert not paint_boxes(np.array([[1, -9.0, -9, 3, 3, 1], [2, 90, 90, 5, 5, 1]]), (3, 5)).any()


def test_clips_crop_and_size(root):
    source = read(root, clip=2, crop=[2, 4, 20, 32], size=[10, 16])
    assert (len(source), source.facts.frames) == (4, 2)
    assert source.sample(3).extras["frames"].tolist() == [2, 3]
    assert np.array_equal(source.sample(3).ids, expected()[2:4, 3:22:2, 5:36:2])


def test_detections_are_no_ids(root):
    for name in ("MOT17-02", "MOT17-10"):
        place = root / "train" / name / "det" / "det.txt"
        place.parent.mkdir()
        place.write_text("1,-1,3,4,5,6,0.9,-1,-1,-1\n1,-1,13,4,5,6,0.2,-1,-1,-1\n4,-1,1,1,9,9,0.5,-1,-1,-1\n")
    source = read(root, boxes="det")
    assert not source.facts.has_ids
    sample = source.sample(0)
    assert sample.ids is None
    assert [len(found) for found in sample.extras["detections"]] == [2, 0, 0, 1, 0]
    assert sample.extras["detections"][0].tolist() == [[2, 3, 5, 6, 0.9], [12, 3, 5, 6, 0.2]]


def test_without_boxes(root):
    source = read(root, boxes="off")
    assert not source.facts.has_ids
    assert source.sample(0).ids is None


def test_a_sequence_itself_and_folders_without_split(root, tmp_path_factory):
    assert np.array_equal(read(root / "train" / "MOT17-02").sample(0).ids, expected())
    flat = tmp_path_factory.mktemp("flat")
    for number in range(10):
        write_sequence(flat / f"seq-{number}", "images")
    seen = [
        {source.sample(i, 0, 1).extras["video"] for i in range(len(source))}
        for source in (read(flat, split) for split in ("train", "validation", "test"))
    ]
    assert [len(names) for names in seen] == [8, 1, 1]
    assert len(set.union(*seen)) == 10


def test_a_video_with_the_tracks_that_this_program_writes(tmp_path):
    with (
        VideoWriter(tmp_path / "v.mp4", SIZE, 25.0) as writer,
        TracksWriter(tmp_path / "tracks.csv", SIZE, (0, 0, *SIZE)) as tracks,
    ):
        for frame in range(TIME):
            writer.write(np.full((*SIZE, 3), 40 * frame, np.uint8))
            mask = np.zeros(SIZE, bool)
            mask[3:9, 4 + frame : 12 + frame] = True
            tracks.write_frame(frame, {0: mask_box(mask)})
    source = read(tmp_path / "v.mp4", boxes=str(tmp_path / "tracks.csv"))
    sample = source.sample(0)
    film = [frame.image for frame in read_video(tmp_path / "v.mp4")]
    assert np.array_equal(sample.frames, np.moveaxis(np.stack(film), -1, 1))
    for frame in range(TIME):
        assert mask_box(sample.ids[frame] == 1) == (4 + frame, 3, 8, 6)
    assert sample.extras["tracks"] == [0]
    with pytest.raises(InputError, match="expected the CSV file of these frames"):
        read(tmp_path / "v.mp4")
    with pytest.raises(InputError, match="no record"):
        read(tmp_path / "v.mp4", "test", boxes=str(tmp_path / "tracks.csv"))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "0 bytes"),
        ("\n\n", "expected rows of boxes, found none"),
        ("1,2,3,4,5\n", r"row 1: expected 7 to 10 columns, found 5"),
        ("1,1,1,1,5,5,1,-1,-1,-1\n2,1,1,1,5,5", "row 2: expected 10 columns, found 6"),
        ("frame,id,left,top,width,height,conf\n", "row 1: expected numbers, found 'frame,id"),
        ("0,1,1,1,5,5,1\n", "expected frames from 1, as 000001.jpg; found 0. Set frame_base"),
        ("1,1,1,1,5,5,1\n1,1,2,2,5,5,1\n", "expected one box of id 1 in a frame, found 2 in frame 1"),
        ("1,1,nan,1,5,5,1\n", "finite"),
    ],
)
def test_another_or_damaged_file(root, text, problem):
    (root / "train" / "MOT17-02" / "gt" / "gt.txt").write_text(text)
    with pytest.raises(InputError, match=problem):
        read(root)


def test_what_is_missing_is_named(root, tmp_path):
    with pytest.raises(InputError, match=r"expected .*det\.txt, found none"):
        read(root, boxes="det")
    with pytest.raises(InputError, match=r"expected SEQUENCE/img1 with images, found train"):
        read(root, "test")
    with pytest.raises(InputError, match="no such file or folder"):
        read(root / "absent")
    with pytest.raises(InputError, match="is one file"):
        read(root, boxes=str(root / "train" / "MOT17-02" / "gt" / "gt.txt"))
    file = root / "train" / "MOT17-02" / "img1" / "000003.jpg"
    file.write_bytes(file.read_bytes()[:300])
    with pytest.raises(InputError, match=r"000003\.jpg"):
        read(root).sample(0)


def _ids(source, index):
    return source.sample(index).ids


@pytest.mark.parametrize("method", ["fork", "fresh"])
def test_workers_read_the_same(root, method):
    source = read(root)
    with pool(method) as workers:
        found = workers.starmap(_ids, [(source, index) for index in range(2)])
    assert all(np.array_equal(ids, expected()) for ids in found)
    before = source.fingerprint()
    assert pickle.loads(pickle.dumps(source)).fingerprint() == before
    (root / "train" / "MOT17-02" / "gt" / "gt.txt").write_text(rows().replace(",4,", ",5,"))
    assert read(root).fingerprint() != before


def test_a_sequence_in_which_nobody_is_tracked(root):
    (root / "train" / "MOT17-02" / "gt" / "gt.txt").write_text("2,99,20,15,4,4,0,8,1\n")
    source = read(root)
    sample = source.sample(0)
    assert sample.ids.shape == (TIME, *SIZE)
    assert set(np.unique(sample.ids)) == {-1, 0}
    assert (sample.ids[1] == -1).sum() == 16
    assert sample.extras["tracks"] == []
    assert sample.extras["boxes"].shape == (TIME, 0, 4)
    assert np.array_equal(source.sample(1).ids, expected())


# -- numbers of frames ------------------------------------------------------------------------------------------------


def write_numbered(folder, numbers, rows_of, name="{:06d}.png"):
    """Images of these numbers, in each a square further right, and rows of these frames."""
    (folder / "img1").mkdir(parents=True)
    (folder / "gt").mkdir()
    for place, number in enumerate(numbers):
        image = np.zeros((48, 64, 3), np.uint8)
        image[10:24, 5 + 6 * place : 17 + 6 * place] = 255
        Image.fromarray(image).save(folder / "img1" / name.format(number))
    lines = [f"{frame},1,{6 + 6 * place},11,12,14,1,1,1" for frame, place in rows_of.items()]
    (folder / "gt" / "gt.txt").write_text("\n".join(lines) + "\n")
    return folder


def fits(sample):
    """Whether ids of each frame are where its square is."""
    return [bool(((ids > 0) == (frame[0] > 128)).all()) for ids, frame in zip(sample.ids, sample.frames, strict=True)]


@pytest.mark.parametrize(
    ("numbers", "name"),
    [
        ((60, 61, 62, 63), "{:06d}.png"),
        ((0, 1, 2, 3), "{:06d}.png"),
        ((1, 2, 5, 11), "{:06d}.png"),
        ((8, 9, 10, 11), "cam2_frame{}.png"),
        ((8, 9, 10, 11), "cam2_{}_left1.png"),
    ],
)
def test_a_box_belongs_to_the_image_that_bears_its_number(tmp_path, numbers, name):
    folder = write_numbered(tmp_path / "seq", numbers, {number: place for place, number in enumerate(numbers)}, name)
    sample = read(folder).sample(0)
    assert fits(sample) == [True] * 4
    assert [(ids > 0).sum() for ids in sample.ids] == [168] * 4


def test_boxes_without_an_image_are_counted(tmp_path):
    folder = write_numbered(tmp_path / "seq", (1, 2, 5), {1: 0, 2: 1, 3: 3, 4: 3, 5: 2, 9: 3})
    with pytest.warns(UserWarning, match=r"3 boxes of 3 frames have no image and were left out"):
        sample = read(folder).sample(0)
    assert fits(sample) == [True] * 3


def test_boxes_that_all_miss_the_images_are_refused(tmp_path):
    folder = write_numbered(tmp_path / "seq", (60, 61), {1: 0, 2: 1})
    with pytest.raises(
        InputError, match=r"000060\.png to 000061\.png; found those of frames 1 to 2.*frame_base"
    ) as caught:
        read(folder)
    assert caught.value.remedy == "Set frame_base to the number that the file gives to the first image."
    assert fits(read(folder, frame_base=1).sample(0)) == [True] * 2, "which is a way to read it"


def test_images_from_0_under_frames_from_1_leave_a_choice(tmp_path):
    folder = write_numbered(tmp_path / "seq", (0, 1, 2, 3), {2: 1, 3: 2})
    with pytest.raises(InputError, match=r"count from 0 \(000000\.png\), frames from 2.*frame_base=0.*frame_base=1"):
        read(folder)
    assert fits(read(folder, frame_base=1).sample(0)) == [False, True, True, False]
    assert read(folder, frame_base=0).sample(0).ids[2:].any()
    whole = write_numbered(tmp_path / "whole", (0, 1, 2, 3), {1: 0, 2: 1, 3: 2, 4: 3})
    with pytest.warns(UserWarning, match=r"frame 1 is taken for 000000\.png"):
        assert fits(read(whole).sample(0)) == [True] * 4


def test_frames_of_a_video_that_an_edit_list_hides_are_not_counted(ffmpeg, tmp_path):
    h264 = ("-pix_fmt", "yuv420p", "-c:v", "libx264", "-g", 120)
    ffmpeg("-f", "lavfi", "-i", "testsrc=size=64x48:rate=12:duration=10", *h264, tmp_path / "whole.mp4")
    ffmpeg("-ss", 1.3, "-i", tmp_path / "whole.mp4", "-c", "copy", tmp_path / "trimmed.mp4")
    (tmp_path / "boxes.csv").write_text("".join(f"{frame},1,10,10,20,20,1,-1,-1,-1\n" for frame in range(1, 105)))
    source = read(tmp_path / "trimmed.mp4", boxes=str(tmp_path / "boxes.csv"))
    assert source.facts.frames == 104
    assert len(source.sample(0).frames) == 104
    (tmp_path / "boxes.csv").write_text("".join(f"{frame},1,10,10,20,20,1,-1,-1,-1\n" for frame in range(1, 121)))
    with pytest.warns(UserWarning, match="16 boxes of 16 frames have no image"):
        read(tmp_path / "trimmed.mp4", boxes=str(tmp_path / "boxes.csv"))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "latin-1"])
def test_text_of_other_encodings_and_line_ends_is_read(root, encoding):
    folder = root / "train" / "MOT17-02"
    expected = read(folder).sample(0).ids
    text = (folder / "gt" / "gt.txt").read_text().replace("\n", "\r\n")
    (folder / "gt" / "gt.txt").write_bytes(text.encode(encoding))
    (folder / "seqinfo.ini").write_bytes("[Sequence]\r\nname=Caf\xe9 100%\r\nimDir=img1\r\n".encode("latin-1"))
    assert np.array_equal(read(folder).sample(0).ids, expected)
