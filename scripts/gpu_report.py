"""Everything worth knowing of a GPU in the minutes one has it: tests, speeds, and a recipe trained for the rest.

    python scripts/gpu_report.py --out build/gpu --minutes 9 --recipe provide-balls-colour

Needs a checkout and no network, with torch 2.6 or newer and what else a machine-learning image has; packages that are
missing are named first, and what needs them is left out. Every part has its share of the minutes and cannot take down
the others. The folder then holds report.json, one log for each part, the bench's numbers, and the run with its weights;
beside it, NAME.tar.gz holds the folder without checkpoints, NAME-checkpoint.tar.gz the newest one, from which the run
goes on.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
NEEDED = (
    "torch",
    "lightning",
    "torchmetrics",
    "safetensors",
    "numpy",
    "scipy",
    "h5py",
    "rich",
    "PIL",
    "yaml",
    "jinja2",
)
OPTIONAL = {"av": "video files", "pycocotools": "masks.json", "mujoco": "scenes in three dimensions", "pytest": "tests"}
CASES = ("provide-paper", "iodine-64", "mulmon-64")
BATCHES = (1, 16, 64, 256)
SHIPPED, RECIPE = "provide-balls-colour", "provide-balls-colour"


def streaming(model_name: str, device_name: str, seconds: float) -> list[dict[str, object]]:
    """Return streamed frames a second of a shipped model for several batches, as it is and with captured graphs."""
    import torch

    from scenewise.checkpoint import load_model
    from scenewise.variational.compiled import compile_decodes

    rows: list[dict[str, object]] = []
    device = torch.device(device_name)
    for captured in (False, True):
        if captured and device.type != "cuda":
            continue
        model = load_model(model_name).model.eval().to(device)
        if captured:
            compile_decodes(model)
        for batch in BATCHES:
            frames = torch.rand(batch, 1, *model.frame_shape, device=device)
            state, count = model.initial_state(batch), 0
            for _ in range(3):
                _, state = model.step(frames, state)
            wait(device)
            begin = time.perf_counter()
            while time.perf_counter() - begin < seconds:
                _, state = model.step(frames, state)
                count += batch
                wait(device)
            rate = count / (time.perf_counter() - begin)
            rows.append(
                {"model": model_name, "batch": batch, "captured": captured, "frames_per_second": round(rate, 1)}
            )
    return rows


def training(recipe_name: str, device_name: str, seconds: float) -> list[dict[str, object]]:
    """Return training steps a second for several batches, one operation after the other and as captured graphs.

    Of the second stage of a recipe, the first at full size.
    """
    import torch
    from lightning.fabric import Fabric

    from scenewise.training import recipes
    from scenewise.training.passes import CapturedPass, Explain, Pass
    from scenewise.training.plan import make_plan
    from scenewise.training.recipe import clip_length

    plan = make_plan(recipes.load(recipe_name, []).parts()[1])
    device, frames = torch.device(device_name), clip_length(plan.recipe.training, 0)
    rows: list[dict[str, object]] = []
    for captured in (False, True):
        for batch in BATCHES[1:]:
            if captured and device.type != "cuda":
                continue
            model = plan.make_model(warm=False).to(device)
            fabric = Fabric(accelerator=device.type, devices=1)
            optimizer = torch.optim.Adam(model.parameters(), 1e-4, fused=device.type == "cuda")
            wrapped, optimizer = fabric.setup(Explain(model), optimizer)
            run: Any = Pass(fabric, wrapped, 1)
            run = CapturedPass(run, print) if captured else run
            clip: Any = {
                "frames": torch.randint(0, 256, (batch, frames, *model.frame_shape), dtype=torch.uint8, device=device),
                "noise": torch.randn(model.noise_shape(batch, frames), device=device),
                **dict.fromkeys(("viewpoints", "background"), torch.empty(0, device=device)),
                "seed": 0,
            }
            count, begin = -6, 0.0
            while count <= 0 or time.perf_counter() - begin < seconds:
                if count == 0:
                    begin = time.perf_counter()
                model.begin_step(0)
                run(clip, 0)
                torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
                optimizer.step()
                optimizer.zero_grad()
                wait(device)
                count += 1
            rate = count / (time.perf_counter() - begin)
            row = {"recipe": recipe_name, "batch": batch, "frames": frames, "captured": captured}
            rows.append(row | {"steps_per_second": round(rate, 2), "videos_per_second": round(rate * batch, 1)})
    return rows


def wait(device: object) -> None:
    """Wait until a GPU has done what it was given."""
    import torch

    if getattr(device, "type", "") == "cuda":
        torch.cuda.synchronize()


class Report:
    """What the parts gave, written after each.

    Args:
        out: The folder.
        minutes: For all of them.
    """

    def __init__(self, out: Path, minutes: float) -> None:
        self.out, self.end = out, time.monotonic() + 60 * minutes
        self.facts: dict[str, object] = {"parts": {}}
        out.mkdir(parents=True, exist_ok=True)

    @property
    def left(self) -> float:
        """Seconds left."""
        return self.end - time.monotonic()

    def write(self) -> None:
        """Write report.json."""
        (self.out / "report.json").write_text(json.dumps(self.facts, indent=1) + "\n")

    def run(self, name: str, words: list[str], seconds: float, **environment: str) -> None:
        """Run a command for at most that many seconds, with a log of its own; its exit code goes into the report."""
        seconds, begin = min(seconds, self.left), time.monotonic()
        if seconds < 5:
            self.facts["parts"][name] = {"left_out": "no time"}  # type: ignore[index]
            return
        paths = os.pathsep.join(filter(None, [str(ROOT / "src"), os.environ.get("PYTHONPATH")]))
        variables = {**os.environ, "PYTHONPATH": paths, "OMP_WAIT_POLICY": "PASSIVE", **environment}
        print(f"{name}: at most {seconds:.0f} s", flush=True)
        with (self.out / f"{name}.log").open("w") as log:
            process = subprocess.Popen(
                words, cwd=ROOT, env=variables, stdout=log, stderr=subprocess.STDOUT, process_group=0
            )
            try:
                code: int | str = process.wait(seconds)
            except subprocess.TimeoutExpired:
                code = "time limit"
            finally:
                with suppress(ProcessLookupError):  # workers too: what is left of them would slow the parts after
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        took = round(time.monotonic() - begin, 1)
        self.facts["parts"][name] = {"code": code, "seconds": took, "command": " ".join(words)}  # type: ignore[index]
        self.write()
        print(f"{name}: {code} after {took} s", flush=True)
        print("\n".join((self.out / f"{name}.log").read_text(errors="replace").splitlines()[-8:]), flush=True)


def pack(out: Path) -> list[Path]:
    """Pack a report, and apart from it the newest checkpoint, from which the run goes on: many machines limit files."""
    report, state = out.with_suffix(".tar.gz"), out.with_name(f"{out.name}-checkpoint.tar.gz")
    checkpoints = sorted(out.glob("run/**/checkpoints/*"), key=lambda path: path.stat().st_mtime)
    with tarfile.open(report, "w:gz") as archive:
        archive.add(out, out.name, filter=lambda each: None if "/checkpoints/" in each.name else each)
    with tarfile.open(state, "w:gz") as archive:
        for path in checkpoints[-1:]:
            archive.add(path, f"{out.name}/{path.relative_to(out)}")
    return [report, state] if checkpoints else [report]


def main() -> int:
    """Write the report; exit code 0 where every part that ran did well."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "gpu")
    parser.add_argument("--minutes", type=float, default=9.0, help="for everything; default: %(default)s")
    parser.add_argument("--recipe", default=RECIPE, help="trained in what is left; default: %(default)s")
    parser.add_argument("--device", default="cuda", help="cpu tries the report itself")
    for part in ("streaming", "steps"):  # this file as a part
        parser.add_argument(f"--{part}", type=float, metavar="SECONDS", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.streaming is not None:
        print(json.dumps(streaming(SHIPPED, args.device, args.streaming)))
        return 0
    if args.steps is not None:
        print(json.dumps(training(RECIPE, args.device, args.steps)))
        return 0

    report = Report(args.out.resolve(), args.minutes)
    missing = [name for name in (*NEEDED, *OPTIONAL) if importlib.util.find_spec(name) is None]
    report.facts["missing"] = missing
    for name in missing:
        print(f"missing: {name}, for {OPTIONAL.get(name, 'everything')}", flush=True)
    if any(name in missing for name in NEEDED):
        report.write()
        print("Install what is missing: pip install " + " ".join(name for name in missing if name in NEEDED))
        return 2
    import torch

    if args.device == "cuda" and not torch.cuda.is_available():
        report.write()
        print("This machine has no GPU that torch can use; --device cpu tries the report itself.")
        return 2
    if args.device == "cuda":
        report.facts["gpu"] = torch.cuda.get_device_name()
    report.facts |= {"torch": torch.__version__, "python": sys.version.split()[0], "threads": torch.get_num_threads()}

    scenewise, share = [sys.executable, "-m", "scenewise.cli"], 60 * args.minutes
    if "pytest" not in missing:
        words = ["-m", "pytest", "tests/gpu", "-q", "-p", "no:cacheprovider", "-o", "addopts="]
        words += ["-n", str(min(6, os.cpu_count() or 1))] if importlib.util.find_spec("xdist") else []
        report.run("tests", [sys.executable, *words], 0.3 * share, SCENEWISE_TEST_DEVICE=args.device)
    for part in ("streaming", "steps"):
        numbers = ["--device", args.device, f"--{part}", "2"]
        report.run(part, [sys.executable, str(Path(__file__)), *numbers], 0.1 * share)
    for case in CASES:
        file = ["--json", str(report.out / f"bench-{case}.json")]
        report.run(f"bench-{case}", [*scenewise, "bench", "--case", case, "--device", args.device, *file], 0.06 * share)
    rest = max(0.0, report.left - 40)  # what validation and the last checkpoint may take after the limit
    words = [args.recipe, "--out", str(report.out / "run"), "--minutes", f"{rest / 60:.2f}"]
    workers = min(6, (os.cpu_count() or 1) // 2)  # a GPU takes clips faster than one process makes them
    words += [f"training.device={args.device}", f"training.workers={workers}"]
    report.run("training", [*scenewise, "train", *words], report.left)
    report.write()
    for path in pack(report.out):
        print(f"Report: {path} ({path.stat().st_size >> 20} MiB)")
    parts = report.facts["parts"]
    return int(any(part.get("code", 0) != 0 for part in parts.values()))  # type: ignore[attr-defined]


if __name__ == "__main__":
    sys.exit(main())
