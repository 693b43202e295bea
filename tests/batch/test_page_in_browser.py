"""The page about ten thousand videos in a browser: what is shown, found, filtered and put in order."""

import os
import random
import shutil

import pytest

from scenewise.batch.ledger import DONE, FAILED, Row
from scenewise.batch.page import write_page

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]
playwright = pytest.importorskip("playwright.sync_api", reason="no playwright here")

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
if CHROMIUM is None:
    pytest.skip("no Chromium here", allow_module_level=True)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    from PIL import Image

    folder, chance = tmp_path_factory.mktemp("batch"), random.Random(0)
    rows = []
    for number in range(10_000):
        state = FAILED if number % 100 == 7 else DONE
        row = Row(f"camera {number % 40:02d}/{number}.mp4", state=state, frames=300, seconds=2.5, report="report.html")
        row.objects, row.verdict = chance.randrange(9), ("known footage", "unknown footage")[number % 3 == 0]
        row.error = "<img src=x onerror=alert(1)> is no video" if state == FAILED else ""
        rows.append(row)
    (folder / "thumbnails/camera 00").mkdir(parents=True)
    Image.new("RGB", (144, 72), (200, 30, 30)).save(folder / "thumbnails/camera 00/0.mp4.jpg")
    write_page(rows, folder / "index.html")
    with playwright.sync_playwright() as running:
        options = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
        browser = running.chromium.launch(executable_path=CHROMIUM, args=options)
        found = browser.new_page(viewport={"width": 1200, "height": 800})
        faults = []
        found.on("pageerror", lambda error: faults.append(str(error)))
        found.on("dialog", lambda dialog: faults.append("a dialog"))
        found.goto(f"file://{folder}/index.html")
        yield found
        assert faults == []
        browser.close()


def names(page):
    return page.eval_on_selector_all("#rows th", "cells => cells.map(cell => cell.firstChild.textContent)")


def test_a_page_of_ten_thousand(page):
    assert page.inner_text("#count") == "10,000"
    assert len(names(page)) == 100
    assert names(page)[:2] == ["camera 00/0.mp4", "camera 00/40.mp4"]
    link = page.get_attribute("#rows th a", "href")
    assert link == "videos/camera%2000/0.mp4/report.html"
    image = page.wait_for_selector("#rows img")
    page.wait_for_function("image => image.complete && image.naturalWidth === 144", arg=image)


def test_find_filter_order_and_turn(page):
    page.fill("#find", "camera 07/")
    assert page.inner_text("#count") == "250 of 10,000"
    page.select_option("#kind", "failed")
    assert page.inner_text("#count") == "50 of 10,000"
    assert "is no video" in page.inner_text("#rows .error")
    page.fill("#find", "")
    page.select_option("#kind", "")
    page.select_option("#order", "objects")
    shown = page.eval_on_selector_all("#rows tr", "rows => rows.map(row => Number(row.cells[3].textContent || 0))")
    assert shown[0] == 8
    page.select_option("#order", "name")
    page.click("#on")
    assert page.inner_text("#page") == "page 2 of 100"
    assert len(set(names(page))) == 100
