"""The report: what is kept, what is said, what the file holds."""

import base64
import dataclasses
import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from scenewise.decomposition import FrameResult
from scenewise.errors import InputError
from scenewise.report import ReportBuilder, tiles, write_report
from scenewise.summary import DOUBTFUL, UNKNOWN, Geometry, SlotStatistics

from .scene import discs, empty_report, summary_of, take_in

UNKNOWN_FOOTAGE = {
    "verdict": UNKNOWN,
    "message": "The model does not know this footage.",
    "remedy": "scenewise train footage --data clip.mp4",
    "roles": ["not judged"] * 5,
}
SCORES = [{"protocol": "savi", "metric": "F-ARI", "value": 0.91234, "note": "whole video"}]


def build(frames, slots=5, size=(64, 64), title="clip.mp4", settings=None, max_frames=240, **scene) -> ReportBuilder:
    report = empty_report(title, slots, size, settings, max_frames)
    for frame in discs(frames, slots, size, **scene):
        take_in(report, frame)
    return report


def page_of(report, path, **summary) -> str:
    write_report(report, path, summary_of(report, **summary))
    return path.read_text(encoding="utf-8")


def embedded(page: str, name: str):
    return json.loads(re.search(rf'<script type="application/json" id="{name}">(.*?)</script>', page, re.S)[1])


def tiny_frame(index: int) -> FrameResult:
    picture = np.full((4, 4, 3), index % 251, np.uint8)
    return FrameResult(
        index=index,
        time_s=None,
        image=picture,
        labels=np.zeros((4, 4), np.uint8),
        masks=np.full((2, 4, 4), 0.5),
        appearance=np.stack([picture, picture]),
        reconstruction=picture / np.float32(255),
        mean=np.zeros((2, 3)),
        std=np.ones((2, 3)),
        mse=0.001,
        kl=0.0,
        log_likelihood=0.0,
    )


@pytest.fixture(scope="module")
def long_report() -> ReportBuilder:
    report = empty_report("long", 2, (4, 4), max_frames=60)
    for index in range(5000):
        take_in(report, tiny_frame(index))
    return report


def test_memory_and_file_stay_bounded_over_thousands_of_frames(long_report, tmp_path):
    assert long_report.frames == 5000
    assert 30 <= len(long_report.pictures) <= 60
    page = page_of(long_report, tmp_path / "report.html")
    assert len(page) < 400_000
    assert len(embedded(page, "report-data")["timeline"]["mse"]) <= 2000


def test_kept_frames_are_evenly_spaced_from_the_first(long_report):
    positions = [sheets.position for sheets in long_report.pictures]
    assert positions == list(range(0, 5000, long_report.stride))


def test_many_bytes_are_thinned_like_many_frames(monkeypatch):
    monkeypatch.setattr("scenewise.report.page.LARGEST_PICTURES", 60_000)
    report = build(40)
    assert sum(sheets.bytes for sheets in report.pictures) <= 60_000
    assert report.stride > 1


def test_a_typical_report_is_small(tmp_path):
    report = build(128, noise=0)
    assert len(page_of(report, tmp_path / "report.html")) < 2_500_000
    assert len(report.pictures) == 128


def test_the_same_frames_give_the_same_bytes(tmp_path):
    pages = [page_of(build(6), tmp_path / f"{n}.html", scores=SCORES) for n in range(2)]
    assert pages[0] == pages[1]


def test_it_can_be_written_again_and_again(tmp_path):
    path = tmp_path / "report.html"
    report = empty_report("growing")
    assert "No frame was read." in page_of(report, path)
    for count, frame in enumerate(discs(3), start=1):
        take_in(report, frame)
        assert len(embedded(page_of(report, path), "frame-data")) == count
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "report.html"
    report = build(1)
    before = page_of(report, path)
    with pytest.raises(TypeError):
        write_report(report, path, summary_of(report, validated_mse=object()))
    assert path.read_text(encoding="utf-8") == before
    assert len(list(tmp_path.iterdir())) == 1


def test_a_missing_folder_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="folder"):
        page_of(build(1), tmp_path / "absent" / "report.html")


def test_nothing_outside_is_referenced(tmp_path):
    page = page_of(build(2), tmp_path / "report.html", **UNKNOWN_FOOTAGE, scores=SCORES)
    assert not re.search(r"https?://", page)
    assert not re.search(r'\b(?:src|href)="(?!#|data:)', page)
    assert "@import" not in page
    assert "url(" not in page
    assert "default-src 'none'" in page


def test_text_from_users_is_escaped(tmp_path):
    evil = "<script>alert(1)</script>\"'&"
    report = build(1, title=evil, settings={evil: {"path": evil, "n": [1, evil]}})
    scores = [{"protocol": evil, "metric": evil, "value": evil, "note": evil}]
    for verdict in (DOUBTFUL, UNKNOWN):
        facts = {"verdict": verdict, "message": evil, "remedy": evil, "model": evil, "roles": [evil] * 5}
        page = page_of(report, tmp_path / "report.html", scores=scores, **facts)
        assert "<script>alert" not in page
        assert page.count("</script>") == 3
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_marks_in_users_text_are_not_filled_in(tmp_path):
    page = page_of(build(1, title="{{ title }}{% raw %}"), tmp_path / "report.html")
    assert "<h1>{{ title }}{% raw %}</h1>" in page


@pytest.mark.parametrize(
    ("frames", "slots", "size"),
    [(1, 1, (64, 64)), (1, 64, (32, 32)), (3, 2, (40, 24)), (2, 3, (7, 300)), (2, 2, (1, 1))],
)
def test_edge_shapes(tmp_path, frames, slots, size):
    page = page_of(build(frames, slots, size), tmp_path / "report.html")
    data, kept = embedded(page, "report-data"), embedded(page, "frame-data")
    scene, grey, appearance = (Image.open(io.BytesIO(base64.b64decode(s))) for s in kept[0]["sheets"])
    assert len(kept) == frames
    assert len(data["colours"]) == slots
    assert scene.size == (data["width"], 2 * data["height"])
    assert grey.size == (data["width"], (3 + slots) * data["height"])
    assert appearance.size == (data["width"], slots * data["tile"])


def test_pictures_survive_within_a_few_levels(tmp_path):
    frame = next(discs(1))
    kept = tiles.pack(frame, 0, 1, np.zeros(5))
    scene = np.asarray(Image.open(io.BytesIO(kept.scene))).reshape(2, 64, 64, 3).astype(int)
    grey = np.asarray(Image.open(io.BytesIO(kept.grey))).reshape(8, 64, 64).astype(int)
    appearance = np.asarray(Image.open(io.BytesIO(kept.appearance))).reshape(5, 64, 64, 3).astype(int)
    assert abs(scene[0] - frame.image).max() <= 1
    assert abs(scene[1] - frame.picture).max() <= 1
    np.testing.assert_array_equal(grey[0], frame.labels)
    np.testing.assert_array_equal(grey[1], frame.ids)
    assert abs(grey[2] / 255 * kept.peak - frame.uncertainty).max() <= kept.peak / 100
    assert abs(grey[3:] / 255 - frame.masks).max() <= 0.01
    assert abs(appearance - frame.appearance).max() <= 12


def test_large_pictures_are_shrunk_by_a_whole_factor():
    frame = next(discs(1, 2, (50, 500)))
    factor = tiles.shrink_factor((50, 500))
    assert factor == 2
    assert tiles.shrink_factor((256, 256)) == 1
    assert Image.open(io.BytesIO(tiles.pack(frame, 0, factor, np.zeros(2)).scene)).size == (250, 2 * 25)
    np.testing.assert_allclose(tiles.mean_blocks(np.arange(6.0).reshape(1, 6, 1), 4)[0, :, 0], [1.5, 4.5])
    assert tiles.pick(np.arange(6)[None], 4).tolist() == [[2, 5]]


def test_the_verdict_is_plain(tmp_path):
    path = tmp_path / "report.html"
    assert "found <strong>3 objects</strong> in 10 frames (0.4 s), 2 of them predicted.</p>" in page_of(
        build(10, predicted=2), path
    )
    roles = ["background", "object", "unused", "unused", "unused"]
    assert "found <strong>1 object</strong> in one image.</p>" in page_of(build(1), path, roles=roles)
    assert "<strong>no objects</strong>, only background" in page_of(build(1), path, roles=["background"] * 5)


def test_doubt_stands_beside_the_claim(tmp_path):
    page = page_of(build(1), tmp_path / "report.html", verdict=DOUBTFUL, message="Worse than <most>.")
    assert "found <strong>3 objects</strong> in one image. Worse than &lt;most&gt;.</p>" in page


def test_a_warning_withdraws_every_claim_of_objects(tmp_path):
    page = page_of(build(2), tmp_path / "report.html", **UNKNOWN_FOOTAGE)
    assert "<code>scenewise train footage --data clip.mp4</code>" in page
    assert "The model found" not in page
    assert embedded(page, "report-data")["roles"] == ["not judged"] * 5
    assert embedded(page, "report-data")["judged"] is False
    assert ">object<" not in page


def test_scores_of_a_metric_stand_side_by_side_under_their_protocols(tmp_path):
    other = {"protocol": "provide", "metric": "F-ARI", "value": 0.5, "note": ""}
    lone = {"protocol": "provide", "metric": "ARI", "value": None, "note": ""}
    page = page_of(build(1), tmp_path / "report.html", scores=[*SCORES, other, lone])
    table = re.search(r'<table class="scores">.*?</table>', page)[0]
    assert re.findall(r"<th scope=\"col\">(.*?)</th>", table) == ["Score", "savi", "provide"]
    assert re.findall(r"<td[^>]*>(.*?)</td>", table) == ["0.9123", "0.5", "", "–"]
    assert "<li>F-ARI, savi: whole video</li>" in page
    assert '<ul class="notes">' not in page_of(build(1), tmp_path / "report.html", scores=[other])


def test_it_opens_on_a_frame_that_stands_for_the_video(tmp_path):
    """Not on the first, in which only the ground is there and the error is largest."""
    frames = list(discs(9))
    empty = np.zeros_like(frames[0].labels)
    worse = {"labels": empty, "mse": 0.5}
    report = empty_report()
    for n, frame in enumerate(frames):
        take_in(report, dataclasses.replace(frame, **worse) if n in (0, 4) else frame)
    data = embedded(page_of(report, tmp_path / "report.html"), "report-data")
    assert data["open"] in (3, 5)
    assert embedded(page_of(build(1), tmp_path / "report.html"), "report-data")["open"] == 0


def test_background_is_of_no_colour(tmp_path):
    colours = embedded(page_of(build(4), tmp_path / "report.html"), "report-data")["colours"]
    assert max(colours[0]) - min(colours[0]) < 20
    assert all(max(colour) - min(colour) > 60 for colour in colours[1:4])


def test_pictures_of_the_source_come_along_in_their_shape(tmp_path):
    asked = []

    def sources(positions):
        asked.append(list(positions))
        yield from (np.full((9, 32, 3), 40 * n, np.uint8) for n in range(2))  # and then the source breaks off

    statistics = SlotStatistics(5, Geometry((64, 64), (0, 0, 90, 320)))
    report = ReportBuilder(title="wide.mp4", statistics=statistics, settings={}, sources=sources)
    for frame in discs(3):
        take_in(report, frame)
    page = page_of(report, tmp_path / "report.html")
    assert asked == [[0, 1, 2]]
    assert embedded(page, "report-data")["aspect"] == pytest.approx(320 / 90)
    frames = embedded(page, "frame-data")
    assert ["source" in frame for frame in frames] == [True, True, False]
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(frames[1]["source"]))))
    assert shown.shape == (9, 32, 3)
    assert abs(shown.astype(int) - 40).max() <= 3


def test_pictures_of_the_source_are_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr("scenewise.report.page.LARGEST_PHOTOGRAPHS", 20_000)
    noise = np.random.default_rng(0).integers(0, 256, (90, 320, 3)).astype(np.uint8)
    report = build(3)
    report.sources = lambda positions: iter([noise] * len(positions))
    frames = embedded(page_of(report, tmp_path / "report.html"), "frame-data")
    photographs = [base64.b64decode(frame["source"]) for frame in frames]
    assert sum(map(len, photographs)) < 25_000
    width, height = Image.open(io.BytesIO(photographs[2])).size
    assert width / height == pytest.approx(320 / 90, rel=0.05)


def test_trails_and_numbers_are_of_objects_alone(tmp_path):
    page = page_of(build(6), tmp_path / "report.html")
    data = embedded(page, "report-data")
    assert sorted(data["trails"]) == ["1", "2", "3"]
    assert data["numbers"] == [0, 2, 3, 4, 0]
    assert [point[0] for point in data["trails"]["2"]] == list(range(6))
    warned = embedded(page_of(build(6), tmp_path / "report.html", **UNKNOWN_FOOTAGE), "report-data")
    assert (warned["trails"], warned["numbers"]) == ({}, [0] * 5)


def test_files_beside_the_page_can_be_downloaded(tmp_path):
    report = build(1)
    report.downloads = ("tracks.csv", 'odd "name".json')
    page = page_of(report, tmp_path / "report.html")
    assert re.findall(r'download href="([^"]*)"', page) == ["tracks.csv", "odd%20%22name%22.json"]
    assert "download href" not in page_of(build(1), tmp_path / "report.html")


def test_settings_are_grouped(tmp_path):
    settings = {"slots": 5, "model": {"name": "m", "decoder": {"kind": "coarse"}}, "input": {"file": "clip.mp4"}}
    page = page_of(build(1, settings=settings), tmp_path / "report.html")
    block = page[page.index("<h2>Settings</h2>") :]
    assert re.findall(r'<h3 class="group">(.*?)</h3>', block) == ["model", "input"]
    assert block.index("<code>slots</code>") < block.index(">model</h3>") < block.index("<code>decoder.kind</code>")


def test_roles_are_those_of_the_summary(tmp_path):
    judged = ["undecided", "background", "object", "unused", "unused"]
    page = page_of(build(4), tmp_path / "report.html", roles=judged)
    assert embedded(page, "report-data")["roles"] == judged
    assert "undecided" in page


def test_the_table_of_slots_tells_the_statistics(tmp_path):
    frames = list(discs(6))
    page = page_of(build(6), tmp_path / "report.html")
    row = re.search(r'<tr><th scope="row"><span class="swatch" data-slot="1"></span>2</th>(.*?)</tr>', page)[1]
    cells = re.findall(r"<td[^>]*>(.*?)</td>", row)
    area = np.mean([(frame.labels == 1).mean() for frame in frames])
    movement = np.std([frame.mean[1] for frame in frames], axis=0).mean()
    assert cells == [
        "object",
        "6 of 6",
        f"{area:.1%}",
        f"{np.mean([frame.std[1] for frame in frames]):.2g}",
        f"{movement:.2g}",
    ]


def test_true_ids_take_the_colour_of_the_slot_that_covers_them():
    builder = build(4)
    assert builder.matches() == {0: 0, 3: 1, 4: 2, 5: 3}


def test_missing_errors_and_times_are_no_problem(tmp_path):
    report = empty_report("gaps")
    for frame in discs(3):
        gap = {"mse": float("nan"), "time_s": None, "predicted": True, "truth": None}
        take_in(report, dataclasses.replace(frame, **gap))
    page = page_of(report, tmp_path / "report.html")
    assert embedded(page, "report-data")["timeline"]["mse"] == [None, None, None]
    assert not any(frame["seen"] for frame in embedded(page, "frame-data"))


def test_ids_beyond_a_byte_are_ignored():
    assert tiles.ids_as_bytes(np.array([-1, 0, 254, 255, 1000])).tolist() == [255, 0, 254, 255, 255]


def test_what_was_wrong_with_the_input_is_told_as_text(tmp_path):
    problems = ["is cut off or damaged; 3 of 9 frames could be read.", "has <b>odd</b> time stamps."]
    page = page_of(build(3), tmp_path / "report.html", problems=problems)
    assert "Notes on the input" in page
    assert "The input is cut off or damaged; 3 of 9 frames could be read." in page
    assert "has &lt;b&gt;odd&lt;/b&gt; time stamps." in page
    assert "Notes on the input" not in page_of(build(3), tmp_path / "whole.html")
