"""The page in headless Chromium, opened from disk."""

from dataclasses import replace

import numpy as np
import pytest
from tests.browser import CHROMIUM, MARKS, OPTIONS, pixels, until

from scenewise.report import write_report
from scenewise.summary import UNKNOWN

from .scene import discs, empty_report, summary_of, take_in

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = MARKS
SCORES = [{"protocol": "provide", "metric": "F-ARI with a rather long name", "value": 0.97, "note": "mean over frames"}]


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as running:
        chromium = running.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Reports by name: (frames, slots, size, summary)."""
    unknown = {"verdict": UNKNOWN, "message": "Not known.", "remedy": "scenewise train", "roles": ["not judged"] * 3}
    wanted = {
        "video": (20, 5, (64, 64), {"validated_mse": 0.003, "scores": SCORES}),
        "warned": (4, 3, (32, 32), unknown),
        "one": (1, 1, (32, 32), {}),
        "many": (3, 64, (24, 24), {}),
        "wide": (3, 12, (20, 100), {}),
        "none": (0, 4, (32, 32), {}),
        "certain": (2, 2, (16, 16), {}),
    }
    folder = tmp_path_factory.mktemp("reports")
    for name, (frames, slots, size, summary) in wanted.items():
        settings = {"input": {"file": "a-very-long-file-name-without-any-space-" * 4}}
        report = empty_report(f"{name}<script>boom()</script>.mp4", slots, size, settings)
        for frame in discs(frames, slots, size, predicted=min(4, frames - 1)):
            take_in(report, replace(frame, spread=None) if name == "certain" else frame)
        write_report(report, folder / f"{name}.html", summary_of(report, **summary))
    return folder


@pytest.fixture
def visit(browser, files):
    """Open a report; at the end nothing may have been said on the console and nothing else requested."""
    said, asked, contexts = [], [], []

    def go(name, width=1280, height=900, **options):
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto((files / f"{name}.html").as_uri())
        if name != "none":
            until(page, "() => document.querySelector('#panel-input canvas').width !== 300")
        return page

    yield go
    for context in contexts:
        context.close()
    assert said == []
    assert len(asked) == len(contexts)
    assert all(url.startswith("file://") for url in asked)


def shows(page, frame):
    until(page, "n => document.querySelector('#slider + output .frame-number').textContent === n", str(frame))


def test_keys_move_through_the_frames(visit):
    page = visit("video")
    page.keyboard.press("Home")
    shows(page, 0)
    for key, frame in [("ArrowRight", 1), ("Shift+ArrowRight", 11), ("ArrowLeft", 10), ("End", 19), ("Home", 0)]:
        page.keyboard.press(key)
        shows(page, frame)
    page.focus("#slider")
    page.keyboard.press("ArrowRight")
    shows(page, 1)  # not twice: the slider's own step is replaced
    assert "Frame 1" in page.get_attribute("#slider", "aria-valuetext")
    assert "Frame 1" in page.text_content("#announce")


def test_slider_buttons_and_strip_move_too(visit):
    page = visit("video")
    page.evaluate(
        "() => { const s = document.querySelector('#slider'); s.value = 7; s.dispatchEvent(new Event('input')); }"
    )
    shows(page, 7)
    page.click("#next")
    shows(page, 8)
    page.click("#previous")
    shows(page, 7)
    page.locator("#strip").scroll_into_view_if_needed()
    box = page.locator("#strip").bounding_box()
    page.mouse.click(box["x"] + box["width"] - 12, box["y"] + 20)
    shows(page, 19)
    assert page.is_visible("#predicted-badge")
    assert page.text_content("#panel-input figcaption b") == "True future"


def test_it_plays_to_the_end_and_stops(visit):
    page = visit("video")
    page.select_option("#speed", "4")
    page.keyboard.press("Escape")
    page.click("#play")
    assert page.get_attribute("#play", "aria-label") == "Pause"
    shows(page, 19)
    until(page, "() => document.querySelector('#play').getAttribute('aria-label') === 'Play'")


def test_space_plays_and_pauses(visit):
    page = visit("video")
    page.keyboard.press("Space")
    assert page.get_attribute("#play", "aria-label") == "Pause"
    page.keyboard.press("Space")
    assert page.get_attribute("#play", "aria-label") == "Play"


def test_a_slot_can_be_seen_alone(visit):
    page = visit("video")

    def faint():
        return (pixels(page, "#panel-input canvas")[..., 3] < 255).sum()

    assert faint() == 0
    page.keyboard.press("2")
    assert page.get_attribute(".slot:nth-child(2)", "aria-pressed") == "true"
    assert faint() > 2000
    page.click(".slot:nth-child(3)")
    assert page.get_attribute(".slot:nth-child(2)", "aria-pressed") == "false"
    assert page.text_content("#spread-of") == "slot 3"
    page.keyboard.press("0")
    assert faint() == 0
    page.keyboard.press("9")  # there is no such slot
    assert page.locator('.slot[aria-pressed="true"]').count() == 0


def test_a_slot_shows_its_mask_or_its_appearance(visit):
    page = visit("video")
    canvas = ".slot:nth-child(2) canvas"
    assert pixels(page, canvas)[0, 0, 3] < 255
    page.click("[data-view=appearance]")
    assert pixels(page, canvas)[0, 0, 3] == 255
    page.click("[data-view=mask]")
    assert page.get_attribute("[data-view=mask]", "aria-pressed") == "true"


def test_the_input_is_shown_as_it_is(visit):
    page = visit("video")
    page.keyboard.press("Home")
    shows(page, 0)
    frame = next(discs(1, 5, (64, 64), predicted=0))
    shown = pixels(page, "#panel-input canvas")[..., :3]
    assert abs(shown - frame.image.astype(int)).max() <= 1


def test_outlines_numbers_and_trails_are_drawn_over_the_frame(visit):
    page = visit("video")
    whole = pixels(page, "#panel-objects canvas")[..., :3]
    for layer in ("trails", "numbers", "outlines"):
        page.click(f"[data-layer={layer}]")
        fewer = pixels(page, "#panel-objects canvas")[..., :3]
        assert (whole != fewer).any(-1).sum() > 50
        whole = fewer


def test_an_outline_lies_on_the_edge_of_its_slot(visit):
    page = visit("video")
    page.keyboard.press("Home")
    shows(page, 0)
    for layer in ("trails", "numbers"):
        page.click(f"[data-layer={layer}]")
    page.keyboard.press("2")
    shown = pixels(page, "#panel-objects canvas")[..., :3]
    page.click("[data-layer=outlines]")
    labels = next(discs(1, 5, (64, 64), predicted=0)).labels == 1
    rows, columns = np.nonzero((shown != pixels(page, "#panel-objects canvas")[..., :3]).any(-1))
    size = shown.shape[0] / 64
    inside = labels[(rows / size).astype(int).clip(0, 63), (columns / size).astype(int).clip(0, 63)]
    assert 0.25 < inside.mean() < 0.75  # half of a line's width on either side
    edge = np.argwhere(labels)
    assert abs(rows.min() / size - edge[:, 0].min()) < 1.5
    assert abs(columns.max() / size - (edge[:, 1].max() + 1)) < 1.5


@pytest.mark.parametrize(("width", "height"), [(900, 700), (390, 844)])
def test_the_player_covers_nothing_of_the_first_pictures(visit, width, height):
    page = visit("video", width=width, height=height)
    player = page.locator("#player").bounding_box()
    for selector in (".page-head", "#panel-objects", "#slots", "#panel-uncertainty"):
        box = page.locator(selector).bounding_box()
        assert box["y"] + box["height"] <= player["y"] or player["y"] + player["height"] <= box["y"]


def test_help_opens_and_closes_by_key(visit):
    page = visit("video")
    page.keyboard.press("?")
    assert page.is_visible("#keys")
    page.keyboard.press("Escape")
    assert page.is_hidden("#keys")


def test_a_warning_is_seen_first(visit):
    page = visit("warned")
    assert page.is_visible(".warning")
    assert page.locator(".warning").bounding_box()["y"] < page.locator("#panels").bounding_box()["y"]
    assert "object" not in page.text_content("#slots")


def test_one_image_has_no_player(visit):
    page = visit("one")
    assert page.is_hidden("#player")
    assert page.is_visible("#panels")


def test_uncertainty_is_left_out_where_none_is_known(visit):
    assert visit("certain").is_hidden("#panel-uncertainty")
    assert visit("video").is_visible("#panel-uncertainty")


def test_no_frames_leave_a_readable_page(visit):
    page = visit("none")
    assert page.is_hidden("#stage")
    assert "No frame was read" in page.text_content(".verdict")


@pytest.mark.parametrize("name", ["video", "warned", "one", "many", "wide", "none"])
@pytest.mark.parametrize("width", [360, 390, 768, 1280])
def test_no_width_scrolls_sideways(visit, name, width):
    page = visit(name, width=width, height=844)
    page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


def test_touch_targets_are_large_enough_on_a_phone(visit):
    page = visit("video", width=360, height=740, has_touch=True, is_mobile=True)
    sizes = page.evaluate(
        "() => [...document.querySelectorAll('button, select, summary, input')].map((e) => e.getBoundingClientRect())"
        ".filter((r) => r.width).map((r) => Math.min(r.height, r.width))"
    )
    assert min(sizes) >= 40


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast(visit, scheme):
    page = visit("video", color_scheme=scheme)
    ratios = page.evaluate(
        """() => {
          const style = getComputedStyle(document.documentElement);
          const light = (name) => {
            const hex = style.getPropertyValue(name).trim();
            const [r, g, b] = [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16) / 255)
              .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
          };
          const pairs = [["--ink", "--ground"], ["--muted", "--ground"], ["--muted", "--surface"],
            ["--muted", "--sunk"], ["--accent", "--surface"], ["--on-accent", "--accent"],
            ["--warn-ink", "--warn-ground"]];
          const ratio = (x, y) => (Math.max(x, y) + 0.05) / (Math.min(x, y) + 0.05);
          return pairs.map(([a, b]) => ratio(light(a), light(b)));
        }"""
    )
    assert min(ratios) >= 4.5
