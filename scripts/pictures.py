"""Draw the pictures of the documentation that follow shipped weights and the page: `python scripts/pictures.py`.

`overview.png`: a video of bouncing balls, its slots, and what they compose. `view.png`: two rooms of the page of
`scenewise view`, in headless Chromium. `refinements.png`: the table of scores by refinements in docs/models.md. Needs
the extras `viewer` and `dev`, and Chromium for the page (`--chromium`, else found on the path).
"""

from __future__ import annotations

import argparse
import io
import re
import shutil
from pathlib import Path

import numpy as np
from PIL import Image

DOCS = Path(__file__).parents[1] / "docs"
IMAGES = DOCS / "images"
MODEL, SAMPLE = "provide-balls-colour", 3
_NUMBERS = re.compile(r"\.\d+(?:, \.\d+)+")


def overview(frames: int = 6, every: int = 3, side: int = 186, gap: int = 14) -> None:
    """Write rows of frames, slots in colour and reconstructions."""
    import scenewise as sw
    from scenewise.data.contract import SOURCES
    from scenewise.media.palette import SLOT_COLOURS

    sample = SOURCES.get("balls-colour").make("test", {"frames": frames * every}).sample(SAMPLE)
    results = list(sw.load(MODEL, device="cpu").decompose(sample))[::every]
    area = np.mean([frame.masks.mean((1, 2)) for frame in results], 0)
    colours = np.array([SLOT_COLOURS[k] for k in range(len(area))], float)
    colours[area.argmax()] = 0  # the background
    sheet = np.full((3 * (side + gap) + gap, frames * (side + gap) + gap, 3), 24, np.uint8)
    for column, frame in enumerate(results):
        slots = np.rint(np.einsum("khw,kc->hwc", frame.masks, colours)).astype(np.uint8)
        for row, picture in enumerate((frame.image, slots, frame.picture)):
            tile = Image.fromarray(picture).resize((side, side), Image.Resampling.NEAREST)
            top, left = gap + row * (side + gap), gap + column * (side + gap)
            sheet[top : top + side, left : left + side] = np.asarray(tile)
    Image.fromarray(sheet).save(IMAGES / "overview.png", optimize=True)


def view(chromium: str | None) -> None:
    """Write two rooms of the page side by side: the frame with its slots, and a slot's latent."""
    from playwright.sync_api import sync_playwright
    from view_times import opened, served

    shots = []
    with sync_playwright() as running, served([f"balls-colour#{SAMPLE}", "--model", MODEL]) as (address, _):
        browser = running.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page, *_ = opened(browser, address)
        page.set_viewport_size({"width": 960, "height": 880})
        for number in range(13, 25):  # objects have trails then
            page.keyboard.press("ArrowRight")
            page.wait_for_selector(f"#room-frames .frame-number:text-is('{number}')")
        for room, shown in (("frames", "#panel-uncertainty canvas"), ("latents", ".dimension input")):
            page.click(f"#tab-{room}")
            page.wait_for_selector(shown)
            for _ in range(30):  # whatever else this machine does is not the page's
                page.wait_for_timeout(1000)
                if room == "frames" or int(re.findall(r"\d+", page.text_content("#latency") or "9999")[0]) < 60:
                    break
                page.evaluate("document.getElementById('latent-reset').click()")
            page.mouse.move(0, 0)
            shots.append(np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("RGB")))
    between = np.full((shots[0].shape[0], 8, 3), 255, np.uint8)
    Image.fromarray(np.concatenate([shots[0], between, shots[1]], 1)).save(IMAGES / "view.png", optimize=True)


def refinements() -> None:
    """Write the curves of the table "How many refinements" of docs/models.md."""
    import matplotlib.pyplot as plt

    text = (DOCS / "models.md").read_text(encoding="utf-8").partition("## How many refinements")[2]
    rows = re.findall(r"^\| `([\w-]+)`[^|]*\|[^|]*\|([^|]*)\|([^|]*)\|[^|]*\|([^|]*)\|$", text, re.MULTILINE)
    figure, (left, right) = plt.subplots(1, 2, figsize=(10.7, 3.9), dpi=100)
    times = (1, 2, 3)
    for place, (name, *cells) in enumerate(rows):
        kept, ari, counted = ([float(v) for v in _NUMBERS.search(cell)[0].split(", ")] for cell in cells)  # type: ignore[index]
        left.plot(times, kept, "o-", color=f"C{place}", label=name, linewidth=2, markersize=5)
        left.plot(times, counted, "--", color=f"C{place}", linewidth=1.5)
        right.plot(times, ari, "o-", color=f"C{place}", linewidth=2, markersize=5)
    for axes, label in ((left, "F-ARI"), (right, "ARI")):
        axes.set(xlabel="refinements, as a multiple of the trained number", ylabel=label, xticks=times)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    left.legend(frameon=False, fontsize=8.5, loc="lower left")
    figure.tight_layout()
    figure.savefig(IMAGES / "refinements.png")


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", nargs="*", default=["overview", "view", "refinements"], metavar="PICTURE")
    parser.add_argument("--chromium", default=shutil.which("chromium") or shutil.which("google-chrome"))
    args = parser.parse_args()
    draw = {"overview": overview, "view": lambda: view(args.chromium), "refinements": refinements}
    for picture in args.pictures:
        draw[picture]()


if __name__ == "__main__":
    main()
