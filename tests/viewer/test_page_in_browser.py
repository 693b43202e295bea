"""`scenewise view` in headless Chromium, from the command to every control of the page, and to Ctrl-C."""

import contextlib
import functools
import http.server
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from tests.browser import CHROMIUM, MARKS, OPTIONS, pixels, until

from scenewise.errors import InputError
from scenewise.media import VideoWriter, read_video

from .test_runs import write_run

pytest.importorskip("fastapi", reason="the extra `viewer` is not installed")
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = MARKS

READY = "() => document.querySelector('.slot')"  # a frame is taken apart
NEUTRAL = (150, 157, 168)  # the colour of the background
ROOMS = ["refinements", "latents", "again", "predict", "compare", "save"]


def begin(*words, cwd=None):
    """Start the command; returns its process and the page's address."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "scenewise.cli", "view", *map(str, words), "--port", "0", "--device", "cpu"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment,
                               cwd=cwd)  # fmt: skip
    line = process.stdout.readline()
    assert "http://" in line, line + process.stdout.read()
    return process, "http://" + line.split("http://")[1].strip()


def end(process):
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            raise


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as running:
        chromium = running.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def address():
    process, address = begin("balls-colour#3", "--set", "frames=20", "--model", "provide-balls-colour")
    yield address
    end(process)


@pytest.fixture
def visit(browser, address):
    """Open the page; at the end nothing may have been said on the console, and nobody else asked for anything."""
    said, asked, contexts = [], [], []

    def go(url=None, width=1280, height=1000, ready=READY, **options):
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.on("websocket", lambda socket: asked.append(socket.url))
        page.goto(url or address)
        if ready:
            until(page, ready)
        return page

    yield go
    for context in contexts:
        context.close()
    assert said == []
    own = address.removeprefix("http://").split("/")[0]
    assert all(url.startswith(("blob:", "data:")) or f"//{own}/" in url or "//127.0.0.1:" in url for url in asked)


def enter(page, room):
    page.click(f"#tab-{room}")
    until(page, "(id) => !document.getElementById(id).hidden", f"room-{room}")


def shows(page, frame):
    until(page, "n => document.querySelector('#slider + output .frame-number').textContent === n", str(frame))


def varied(picture):
    """Whether a picture shows something."""
    return picture.std((0, 1)).max() > 5


def test_frames_can_be_gone_through(visit):
    page = visit()
    shows(page, 10)
    for selector in ("#panel-objects", "#panel-input", "#panel-slots", "#panel-ids", "#panel-reconstruction",
                     "#panel-uncertainty", ".slot:nth-child(2)"):  # fmt: skip
        assert varied(pixels(page, f"{selector} canvas")), selector
    before = pixels(page, "#panel-input canvas")
    page.click("#next")
    shows(page, 11)
    assert (before != pixels(page, "#panel-input canvas")).any()
    for key, frame in [("ArrowLeft", 10), ("Home", 0), ("Shift+ArrowRight", 10), ("End", 19)]:
        page.keyboard.press(key)
        shows(page, frame)
    slide(page, "#slider", 3)
    shows(page, 3)
    assert page.text_content("#ids-scores").startswith("ARI")
    assert "NLL" in page.text_content("#frame-numbers")


def test_it_plays_and_pauses(visit):
    page = visit()
    page.keyboard.press("Home")
    shows(page, 0)
    page.click("#play")
    assert page.get_attribute("#play", "aria-label") == "Pause"
    until(page, "() => Number(document.querySelector('#slider').value) >= 4")
    page.keyboard.press("Escape")
    page.click("#play")
    assert page.get_attribute("#play", "aria-label") == "Play"
    page.keyboard.press("Home")
    shows(page, 0)
    page.click("#play")
    shows(page, 19)
    until(page, "() => document.querySelector('#play').getAttribute('aria-label') === 'Play'")


def test_a_slot_can_be_seen_alone_and_in_every_way(visit):
    page = visit()
    page.keyboard.press("2")
    assert (pixels(page, "#panel-input canvas")[..., 3] < 255).sum() > 1000
    assert page.get_attribute(".slot:nth-child(2)", "aria-pressed") == "true"
    page.click("#clear")
    assert (pixels(page, "#panel-input canvas")[..., 3] < 255).sum() == 0
    looks = []
    for view in ("both", "appearance", "heat", "share"):
        page.click(f"[data-view={view}]")
        looks.append(pixels(page, "#slots .slot:nth-child(1) canvas"))
    assert all((one != other).any() for n, one in enumerate(looks) for other in looks[:n])
    whole = pixels(page, "#panel-objects canvas")
    page.click("[data-layer=outlines]")
    assert (whole != pixels(page, "#panel-objects canvas")).any()


def test_objects_leave_a_trail_behind_them(visit):
    page = visit()
    for frame in range(9, 1, -1):  # backwards: a path is in the order of frames, not of going
        page.keyboard.press("ArrowLeft")
        shows(page, frame)
    page.keyboard.press("Shift+ArrowRight")
    shows(page, 12)
    drawn = pixels(page, "#panel-objects canvas").astype(int)
    page.click("[data-layer=trails]")
    changed = (drawn != pixels(page, "#panel-objects canvas")).any(2)
    assert 50 < changed.sum() < 0.2 * changed.size  # lines, not surfaces
    page.click("[data-layer=trails]")
    assert (drawn == pixels(page, "#panel-objects canvas")).all()
    page.keyboard.press("Home")
    shows(page, 0)
    first = pixels(page, "#panel-objects canvas")
    page.click("[data-layer=trails]")
    assert (first == pixels(page, "#panel-objects canvas")).all()  # nothing is behind the first frame


def test_refinements_are_walked_through(visit):
    page = visit()
    enter(page, "refinements")
    until(page, "() => document.querySelectorAll('#gradients .row').length === 5")
    first = pixels(page, "#step-reconstruction")
    assert varied(first)
    assert page.locator("#gradients .row:first-child canvas").count() == 3
    slide(page, "#step", page.get_attribute("#step", "max"))
    until(page, "() => document.querySelectorAll('#gradients .row:first-child canvas').length === 1")  # seen by nobody
    assert (first != pixels(page, "#step-reconstruction")).any()
    assert varied(pixels(page, "#chart-nll"))
    assert "NLL from" in page.get_attribute("#chart-nll", "aria-label")


def slide(page, selector, value):
    page.evaluate(
        "([s, v]) => { const n = document.querySelector(s); n.value = v; n.dispatchEvent(new Event('input')); }",
        [selector, value],
    )


def drawn(page, before):
    """Wait until another picture is drawn, and return it."""
    end = time.monotonic() + 30
    while True:
        picture = pixels(page, "#drawn")
        if picture.shape != before.shape or (picture != before).any():
            return picture
        assert time.monotonic() < end
        page.wait_for_timeout(30)


def test_latents_are_played_with(visit):
    page = visit()
    enter(page, "latents")
    until(page, "() => document.querySelectorAll('#latent-slots .slot').length === 5")
    first = pixels(page, "#drawn")
    assert varied(first)
    assert page.locator(".dimension").count() == 10
    high = page.get_attribute(".dimension input", "max")
    slide(page, ".dimension input", high)
    changed = drawn(page, first)
    page.click("#latent-reset")
    np.testing.assert_array_equal(drawn(page, changed), first)

    page.click("#latent-copy")
    until(page, "() => document.querySelectorAll('#latent-slots .slot').length === 6")
    page.click("#latent-add")
    until(page, "() => document.querySelectorAll('#latent-slots .slot').length === 7")
    page.click("#latent-delete")
    until(page, "() => document.querySelectorAll('#latent-slots .slot').length === 6")
    page.click("#latent-reset")
    until(page, "() => document.querySelectorAll('#latent-slots .slot').length === 5")

    page.click("#latent-slots .slot:nth-child(3)")
    until(page, "() => document.querySelector('#latent-name').textContent === 'slot 3'")
    before = pixels(page, "#drawn")
    page.select_option("#latent-other", "0")
    slide(page, "#latent-mix", 1)
    mixed = drawn(page, before)
    page.click("#latent-reset")
    before = drawn(page, mixed)
    page.select_option("#latent-swap", "3")
    page.wait_for_timeout(200)
    page.click("#more-dimensions")
    until(page, "() => document.querySelectorAll('.dimension').length === 32")
    assert "prior" in page.get_attribute(".dimension canvas", "aria-label")


def test_it_is_explained_again_and_outcomes_are_counted(visit):
    page = visit()
    enter(page, "again")
    page.fill("#again-count", "3")
    page.click("#again-run")
    until(page, "() => /alike|distinct/.test(document.querySelector('#tally').textContent)")
    assert page.locator("#again-cards figure").count() == 3
    card = pixels(page, "#again-cards figure:nth-child(2) canvas")
    assert varied(card)
    assert (card[..., :3] == NEUTRAL).all(2).mean() > 0.6  # the background, whatever its slot's number is now
    page.fill("#again-count", "1")
    page.fill("#again-slots", "3")
    page.click("#again-run")
    until(page, "() => document.querySelectorAll('#again-cards figure').length === 1")


def test_the_future_stands_beside_what_came(visit):
    page = visit()
    enter(page, "predict")
    page.fill("#predict-steps", "4")
    page.fill("#predict-samples", "2")
    page.click("#predict-run")
    until(page, "() => document.querySelectorAll('#futures figure').length === 3")
    assert page.text_content("#futures figure b") == "What came"
    before = pixels(page, "#futures figure:nth-child(2) canvas")
    assert varied(before)
    slide(page, "#predict-step", 3)
    assert (before != pixels(page, "#futures figure:nth-child(2) canvas")).any()


def test_two_models_are_compared(visit):
    page = visit()
    enter(page, "compare")
    page.select_option("#compare-model", "iodine-balls-colour")
    until(page, "() => document.querySelectorAll('#compared canvas').length === 4")
    assert "F-ARI" in page.text_content("#compare-table")


def test_what_is_seen_is_saved(visit, tmp_path):
    page = visit()
    enter(page, "save")
    for selector, suffix in (("#save-png", ".png"), ("#save-latents", ".npz"), ("#save-gif", ".gif")):
        page.fill("#save-last", "3")
        with page.expect_download() as waiting:
            page.click(selector)
        waiting.value.save_as(tmp_path / f"saved{suffix}")
        assert waiting.value.suggested_filename.endswith(suffix)
    page.fill("#save-last", "700")
    assert page.get_attribute("#save-gif", "href") is None
    assert page.text_content("#save-hint") == "A film has 1 to 600 frames, the first before the last."
    from PIL import Image

    assert np.asarray(Image.open(tmp_path / "saved.png").convert("RGB")).std() > 10
    assert Image.open(tmp_path / "saved.gif").n_frames == 4
    with np.load(tmp_path / "saved.npz") as arrays:
        assert arrays["mean"].shape == (5, 32)


def test_tabs_are_reached_by_keys_and_follow_the_frame(visit):
    page = visit()
    page.focus("#tab-frames")
    page.keyboard.press("ArrowRight")
    assert page.get_attribute("#tab-refinements", "aria-selected") == "true"
    assert page.evaluate("document.activeElement.id") == "tab-refinements"
    until(page, "() => document.querySelectorAll('#gradients .row').length === 5")
    before = pixels(page, "#step-reconstruction")
    page.click("#next")
    shows(page, 11)
    end = time.monotonic() + 30
    while (before == pixels(page, "#step-reconstruction")).all():
        assert time.monotonic() < end
        page.wait_for_timeout(50)


def test_a_killed_tab_disturbs_no_other(visit):
    one, other = visit(), visit()
    enter(other, "again")
    other.fill("#again-count", "20")
    other.click("#again-run")
    other.context.close()
    one.click("#next")
    shows(one, 11)


@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (900, "dark")])
def test_no_width_scrolls_sideways_and_targets_are_large(visit, width, scheme, tmp_path):
    page = visit(width=width, height=800, color_scheme=scheme, has_touch=width < 600)
    for room in ["frames", *ROOMS]:
        enter(page, room)
        page.wait_for_timeout(300)
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, room
        sizes = page.evaluate(
            "() => [...document.querySelectorAll('button, select, input, a.quiet')]"
            ".map((e) => e.getBoundingClientRect())"
            ".filter((r) => r.width).map((r) => Math.min(r.height, r.width))"
        )
        assert min(sizes) >= 40, room


def test_a_run_is_watched(browser, tmp_path):
    write_run(tmp_path, rows=30)
    process, address = begin(tmp_path)
    try:
        page = browser.new_page()
        said = []
        page.on("console", lambda message: said.append(message.text))
        page.goto(address)
        until(page, "() => document.querySelectorAll('#training-charts canvas').length === 1")
        assert varied(pixels(page, "#training-charts canvas"))
        until(page, "() => document.querySelector('#training-picture').naturalWidth === 4")
        assert page.is_hidden("#player")
        assert said == []
        page.close()
    finally:
        end(process)


def test_a_stream_is_looked_at_as_it_comes_and_its_end_is_told(browser, tmp_path):
    with VideoWriter(tmp_path / "clip.mp4", (32, 48), 10) as writer:
        for t in range(40):
            writer.write(np.full((32, 48, 3), 4 * t, np.uint8))
    with served(tmp_path) as source:
        process, address = begin(f"{source}/clip.mp4")
        try:
            page = browser.new_page()
            page.goto(address)
            until(page, READY)
            until(page, "() => /has ended/.test(document.querySelector('#trouble').textContent)")
            assert page.is_hidden("#slider")
            page.click("#tab-latents")
            until(page, "() => document.querySelectorAll('.dimension').length === 10")
            page.close()
        finally:
            end(process)


@contextlib.contextmanager
def served(folder):
    """Serve a folder over HTTP."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *words):
            pass

    handler = functools.partial(Quiet, directory=folder)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()


def test_the_source_is_seen_while_the_model_loads_and_what_goes_wrong_then_is_told(browser, tmp_path):
    from scenewise.viewer.opening import Opening
    from scenewise.viewer.server import Place, serve

    np.save(tmp_path / "clip.npy", np.full((30, 48, 96, 3), (200, 30, 90), np.uint8))
    addresses, go_on, errors = queue.Queue(), threading.Event(), []

    def fail():
        assert go_on.wait(30)
        raise InputError("weights", "are damaged.", "Copy them anew.")

    def run():
        opening = Opening("clip.npy", fail, read_video(tmp_path / "clip.npy", layout="THWC"))
        try:
            serve(opening, Place(port=0), addresses.put)
        except InputError as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    page = browser.new_page()
    page.goto(addresses.get(timeout=30))
    until(page, "() => /30 frames · the model loads/.test(document.querySelector('#facts').textContent)")
    until(page, "() => document.querySelector('#panel-objects canvas').width === 96")
    assert np.abs(pixels(page, "#panel-objects canvas")[..., :3] - (200, 30, 90)).max() < 12
    assert page.text_content("#slider + output") == "12 of 29"
    assert page.get_attribute("main", "aria-busy") == "true"
    go_on.set()
    until(page, "() => document.querySelector('#trouble p').textContent === 'weights: are damaged. Copy them anew.'")
    assert page.text_content("#facts") == "The model could not be loaded."
    thread.join(30)
    assert not thread.is_alive()
    assert [str(error) for error in errors] == ["weights: are damaged. Copy them anew."]
    page.close()


def test_names_of_files_are_text(browser, tmp_path):
    name = "<img src=x onerror=boom()>.npy"
    np.save(tmp_path / name, np.zeros((3, 64, 64, 3), np.uint8))
    process, address = begin(tmp_path / name, "--layout", "THWC")
    try:
        page = browser.new_page()
        said = []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(address)
        until(page, READY)
        assert page.text_content("h1") == name
        assert page.locator("h1 img").count() == 0
        assert said == []
        page.close()
    finally:
        end(process)


def test_ctrl_c_ends_it_soon_with_a_page_open(browser, tmp_path):
    np.save(tmp_path / "clip.npy", np.zeros((3, 64, 64, 3), np.uint8))
    process, address = begin(Path("clip.npy"), "--layout", "THWC", cwd=tmp_path)
    page = browser.new_page()
    page.goto(address)
    until(page, READY)
    begun = time.monotonic()
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 130
    assert time.monotonic() - begun < 10  # 2 s on a machine that does nothing else
    page.click("#next")
    until(page, "() => !document.querySelector('#trouble').hidden")
    assert "The server" in page.text_content("#trouble")
    page.close()
