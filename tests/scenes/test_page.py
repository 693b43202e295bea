"""The report of a drawn scene, as text."""

from html.parser import HTMLParser

import numpy as np
import pytest

from scenewise.scenes.page import render_page
from scenewise.scenes.rendering import DrawnViews, Rendering, Scene

_VOID = {"meta", "link", "img", "br"}


def rendering(name: str = "scene", observed: tuple[int, ...] = (1,), ids: bool = True, channels: int = 3) -> Rendering:
    random = np.random.default_rng(0)
    frames = random.integers(0, 255, (3, 8, 8, channels), dtype=np.uint8)
    truth = random.integers(-1, 2, (3, 8, 8)) if ids else None
    scene = Scene(name, frames, np.zeros((3, 3), np.float32), truth, (0,), (16, 16))
    masks = random.random((3, 2, 8, 8))
    masks /= masks.sum(1, keepdims=True)
    appearance = random.random((3, 2, 8, 8, channels))
    images = (masks[..., None] * appearance).sum(1)
    drawn = DrawnViews(images, masks.argmax(1), masks, appearance)
    unsure = np.full((3, 8, 8), -4.0)
    return Rendering(
        scene, observed, (0, 1, 2), drawn, unsure, np.zeros((2, 4)), np.ones((2, 4)), drawn, np.zeros((3, 3))
    )


class Balanced(HTMLParser):
    """Fails where elements are not closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("ids", [True, False])
def test_the_page_is_whole_and_loads_nothing(ids: bool) -> None:
    page = render_page(rendering(ids=ids), "mine", {"seed": 0, "nested": {"key": "<b>"}})
    checker = Balanced()
    checker.feed(page)
    assert not checker.open
    assert "http://" not in page
    assert "https://" not in page
    assert "<script" not in page
    assert ("True objects</span>" in page) == ids
    assert "nested.key" in page
    assert "&lt;b&gt;" in page
    assert "scaled from 16 × 16" in page


def test_names_are_escaped_and_counts_are_told() -> None:
    page = render_page(rendering("<script>alert(1)</script>"), "m<i>", {})
    assert "<script>" not in page
    assert "m&lt;i&gt;" in page
    assert "<strong>1 observed view</strong>" in page
    assert "<strong>2 views it had not seen</strong>" in page
    page = render_page(rendering(observed=(2, 0, 1)), "m", {})
    assert "<strong>3 observed views</strong>" in page
    assert "0 views it had not seen</strong>." in page
    assert "3rd to be observed" in page


def test_grey_frames_are_shown_too() -> None:
    assert "data:image/png" in render_page(rendering(channels=1), "m", {})
