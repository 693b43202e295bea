"""How fast the page of `scenewise view` is, in headless Chromium: `python scripts/view_times.py`.

For every model that ships and draws slots: milliseconds from moving a slider of a latent to the new picture. For a
video of 20,000 frames: seconds from the command until its page shows a frame and until that is taken apart, and memory
while it plays (`--minutes`). Needs the extras
`viewer` and `dev` and Chromium (`--chromium`, else found on the path). Quote figures from a machine with nothing else
to do.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from playwright.sync_api import Browser, Page, sync_playwright

from scenewise.media import VideoWriter

MODELS = ("provide-balls-colour", "provide-balls-binary", "iodine-balls-colour", "iodine-tetris",
          "monet-multi-dsprites", "mulmon-cle-mv", "ddpae-moving-mnist", "dvip-moving-mnist",
          "provide-windows-balls-colour", "provide-windows-clevrer", "provide-windows-clevr6", "provide-windows-tetris",
          "provide-windows-multi-dsprites")  # fmt: skip
_OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]

_SLIDE = """async (moves) => {
  const shown = document.getElementById("latency"), times = [];
  for (const [which, share] of moves) {
    const sliders = document.querySelectorAll(".dimension input"), slider = sliders[which % sliders.length];
    const painted = new Promise((tell) => {
      new MutationObserver((_, self) => { self.disconnect(); requestAnimationFrame(() => setTimeout(tell)); }).observe(shown, { childList: true });
    });
    const begun = performance.now();
    slider.value = Number(slider.min) + share * (Number(slider.max) - Number(slider.min));
    slider.dispatchEvent(new Event("input", { bubbles: true }));
    await painted;
    times.push(performance.now() - begun);
  }
  return times;
}"""  # noqa: E501


@contextlib.contextmanager
def served(words: Sequence[str]) -> Iterator[tuple[str, int]]:
    """Run `scenewise view`; gives the page's address and the number of the process."""
    command = [sys.executable, "-m", "scenewise.cli", "view", *words, "--port", "0", "--device", "cpu"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)
    try:
        line = process.stdout.readline() if process.stdout else ""
        if "http://" not in line:
            raise SystemExit(f"{' '.join(command)}: {line}{process.stdout.read() if process.stdout else ''}")
        yield "http://" + line.split("http://")[1].strip(), process.pid
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


def opened(browser: Browser, address: str) -> tuple[Page, float, float]:
    """Return the page once its frame is taken apart, and the seconds until it showed the frame, and until then."""
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    page.set_default_timeout(120_000)
    begun, seconds = time.perf_counter(), list[float]()
    page.goto(address)
    for shown in ("document.querySelector('#panel-objects canvas').width !== 300", "document.querySelector('.slot')"):
        while not page.evaluate(f"() => Boolean({shown})"):
            page.wait_for_timeout(10)
        seconds.append(time.perf_counter() - begun)
    return page, seconds[0], seconds[1]


def processor(number: int) -> float:
    """Return the seconds of CPU that a process has used."""
    times = Path(f"/proc/{number}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return sum(map(int, times[11:13])) / os.sysconf("SC_CLK_TCK")


def resident(number: int) -> float:
    """Return the memory of a process in MiB."""
    return int(subprocess.run(["ps", "-o", "rss=", "-p", str(number)], capture_output=True, check=True).stdout) / 1024


def tell(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def slider_times(browser: Browser, model: str, moves: int) -> np.ndarray:
    """Return milliseconds of moves of the sliders of a model's latents."""
    with served([model]) as (address, _):
        page, *_ = opened(browser, address)
        page.click("[data-tab=latents]")
        page.wait_for_selector(".dimension input")
        page.wait_for_timeout(1000)
        dice = random.Random(0)
        wishes = [[dice.randrange(10), dice.random()] for _ in range(moves + 5)]
        times = page.evaluate(_SLIDE, wishes)[5:]  # the first draws warm up
        page.close()
    return np.array(times)


def long_video(path: Path, frames: int) -> None:
    """Write a square that circles over a plain table, 96 x 64 pixels."""
    with VideoWriter(path, (64, 96), 25) as writer:
        for t in range(frames):
            picture = np.full((64, 96, 3), 70, np.uint8)
            x, y = int(42 + 30 * np.cos(t / 20)), int(26 + 18 * np.sin(t / 20))
            picture[y : y + 12, x : x + 12] = (220, 120, 30)
            writer.write(picture)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="*", default=MODELS, help="models whose sliders are moved")
    parser.add_argument("--moves", type=int, default=100, help="moves of a slider")
    parser.add_argument("--minutes", type=float, default=10, help="minutes of play; 0 leaves the video out")
    parser.add_argument("--frames", type=int, default=20_000, help="frames of the video")
    parser.add_argument("--chromium", default=shutil.which("chromium") or shutil.which("google-chrome"))
    args = parser.parse_args()
    with sync_playwright() as running:
        browser = running.chromium.launch(executable_path=args.chromium, args=_OPTIONS)
        for model in args.models:
            times = slider_times(browser, model, args.moves)
            middle, late = np.percentile(times, (50, 90))
            tell(f"{model}: slider to picture, median {middle:.0f} ms, 90th percentile {late:.0f} ms")
        if args.minutes:
            with tempfile.TemporaryDirectory() as folder:
                video = Path(folder) / "long.mp4"
                long_video(video, args.frames)
                play(browser, video, args.minutes)


def play(browser: Browser, video: Path, minutes: float) -> None:
    """Open a video, play it, and print what that took."""
    begun = time.perf_counter()
    with served([str(video), "--model", "provide-balls-colour"]) as (address, number):
        up = time.perf_counter() - begun
        used = processor(number)
        page, first, apart = opened(browser, address)
        tell(f"{video.name}: command to address {up:.2f} s ({used:.2f} s of CPU)")
        tell(f"  command to its first frame {up + first:.2f} s")
        tell(f"  command to that frame taken apart {up + apart:.2f} s ({processor(number):.2f} s of CPU)")
        page.click("#play")
        end = time.perf_counter() + 60 * minutes
        while time.perf_counter() < end:
            page.wait_for_timeout(min(30_000, 10_000 * minutes))
            heap = page.evaluate("() => performance.memory ? performance.memory.usedJSHeapSize / 2 ** 20 : NaN")
            shown = page.evaluate("() => document.querySelector('#slider + output .frame-number').textContent")
            tell(f"  frame {shown}: server {resident(number):.0f} MiB, page {heap:.0f} MiB")


if __name__ == "__main__":
    main()
