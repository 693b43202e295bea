"""Pages in headless Chromium: where it is, how it is begun, and how its pictures are read."""

import base64
import os
import shutil
import time

import numpy as np
import pytest

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
REQUIRED = os.environ.get("SCENEWISE_BROWSER") == "required"
"""Whether tests of pages must run: set where Chromium could be installed, so that none is skipped in silence."""

OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
MARKS = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None and not REQUIRED, reason="no Chromium found; set CHROMIUM to its path"),
]


def pixels(page, selector):
    """Read a canvas, shape (H, W, 4), through a copy, so that the page's own canvas stays as it is."""
    values = page.evaluate(
        """(selector) => {
          const shown = document.querySelector(selector), copy = document.createElement("canvas");
          copy.width = shown.width;
          copy.height = shown.height;
          const context = copy.getContext("2d", { willReadFrequently: true });
          context.drawImage(shown, 0, 0);
          const { data } = context.getImageData(0, 0, copy.width, copy.height), parts = [];
          for (let i = 0; i < data.length; i += 8192) parts.push(String.fromCharCode(...data.subarray(i, i + 8192)));
          return [copy.height, copy.width, btoa(parts.join(""))];
        }""",
        selector,
    )
    content = base64.b64decode(values[2])  # a list of numbers would take a second on its way
    return np.frombuffer(content, np.uint8).astype(int).reshape(values[0], values[1], 4)


def until(page, expression, arg=None):
    """Wait up to 30 s, asking from outside: the page's own policy forbids the evaluation Playwright would wait by."""
    end = time.monotonic() + 30
    while not page.evaluate(expression, arg):
        assert time.monotonic() < end, expression
        page.wait_for_timeout(20)
