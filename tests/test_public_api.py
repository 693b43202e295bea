"""What `import scenewise as sw` offers has types: a type checker passes right use and stops wrong use."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGES = ("scenewise", "scenewise.decompose", "scenewise.media", "scenewise.metrics")
SRC = Path(__file__).parents[1] / "src"

RIGHT = """
from pathlib import Path

import numpy as np

import scenewise as sw
from scenewise.decompose import Decomposer, Result
from scenewise.media import VideoReader

def apart(path: Path) -> Result:
    model: Decomposer = sw.load("provide-balls-colour", device="cpu", slots=7)
    video: VideoReader = sw.read_video(path, size=model.size, every=2)
    return model.decompose(video)

def largest_mask(part: sw.Decomposition) -> float:
    return float(part.masks.max())

def refuse(subject: str) -> sw.InputError:
    return sw.InputError(subject, "is not a video.")
"""

WRONG = """
import scenewise as sw
from scenewise import decompose, media, metrics

model: str = sw.load("provide-balls-colour")  # E: assignment
sw.load(7)  # E: arg-type
sw.laod("provide-balls-colour")  # E: attr-defined
sw.read_video(b"clip.mp4")  # E: arg-type
sw.read_video("clip.mp4", sizes=64)  # E: call-arg
sw.load("provide-balls-colour").dekompose  # E: attr-defined
decompose.open_clips  # E: attr-defined
media.read_vido  # E: attr-defined
metrics.adjusted_rand_indx  # E: attr-defined
sw.InputError("clip.mp4")  # E: call-arg
"""

# The library's own files are checked by `make check`; without torch's and numpy's this takes a tenth of the time.
SETTINGS = """
[mypy]
python_version = 3.11
mypy_path = {src}
cache_dir = {cache}
disallow_untyped_defs = True
follow_imports = silent
ignore_missing_imports = True
[mypy-torch.*,numpy.*,scipy.*,lightning.*,torchmetrics.*,matplotlib.*,PIL.*,av.*,h5py.*,safetensors.*]
follow_imports = skip
"""


@pytest.fixture(scope="module")
def mypy_errors(tmp_path_factory):
    """The errors of both examples by name: sets of line and code."""
    folder = tmp_path_factory.mktemp("typed")
    settings = folder / "mypy.ini"
    settings.write_text(SETTINGS.format(src=SRC, cache=folder / "cache"))
    examples = {"right": RIGHT, "wrong": WRONG}
    for name, text in examples.items():
        (folder / f"{name}.py").write_text(text)
    files = [str(folder / f"{name}.py") for name in examples]
    command = [sys.executable, "-m", "mypy", "--config-file", str(settings), "--no-error-summary", *files]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    told = re.findall(r"(right|wrong)\.py:(\d+): error: .*\[([\w-]+)\]$", done.stdout, re.MULTILINE)
    return {name: {(int(line), code) for where, line, code in told if where == name} for name in examples}


def test_right_use_has_no_type_error(mypy_errors):
    assert mypy_errors["right"] == set()


def test_wrong_use_is_told_line_by_line(mypy_errors):
    expected = {
        (number, code[1])
        for number, line in enumerate(WRONG.splitlines(), 1)
        if (code := re.search(r"# E: ([\w-]+)$", line))
    }
    assert len(expected) == 10
    assert mypy_errors["wrong"] == expected


@pytest.mark.parametrize("name", PACKAGES)
def test_every_public_name_can_be_imported(name):
    package = importlib.import_module(name)
    assert sorted(set(package.__all__)) == sorted(package.__all__)
    assert all(getattr(package, public) is not None for public in package.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        package.nothing  # noqa: B018


def test_importing_brings_no_torch():
    code = "import sys, scenewise; print('torch' in sys.modules, 'numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False False\n"
