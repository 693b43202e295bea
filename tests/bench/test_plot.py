"""The picture of a sweep."""

from xml.etree import ElementTree

from scenewise.bench.plot import SHOWN, svg
from scenewise.bench.sweep import Point


def test_every_point_and_line_is_drawn_inside_the_picture() -> None:
    points = [Point("frames", t, 0.1 * t, 0.1 * t, 5.0 * t, 2.0 * t) for t in (4, 8, 40)]
    points += [Point("refinements", r, 0.1 * r * r, 0.1 * r * r, 5.0, 2.0 * r) for r in (2, 8)]
    root = ElementTree.fromstring(svg(points))
    space = "{http://www.w3.org/2000/svg}"
    circles, strokes = root.findall(f"{space}circle"), root.findall(f"{space}line")
    assert len(circles) == len(points) * len(SHOWN)
    assert len(strokes) == len(SHOWN)  # refinements have no line
    width, height = float(root.get("width")), float(root.get("height"))
    assert all(0 < float(c.get("cx")) < width and 0 < float(c.get("cy")) < height for c in circles)
