"""What README promises runs."""

import re
from pathlib import Path

import pytest

from scenewise.checkpoint import shipped
from scenewise.data import SOURCES
from scenewise.media import VideoWriter
from scenewise.training import recipes

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PYTHON = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


@pytest.fixture
def clip(tmp_path, monkeypatch):
    """A short video called clip.mp4 in the working folder."""
    frames = SOURCES.get("balls-colour")(split="test", seed=77).sample(0, 0, 6).frames
    with VideoWriter(tmp_path / "clip.mp4", frames.shape[2:], 10) as writer:
        for frame in frames:
            writer.write(frame.transpose(1, 2, 0))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("code", PYTHON, ids=range(len(PYTHON)))
def test_python_blocks_run(code: str, clip: Path) -> None:
    names: dict = {}
    exec(compile(code, "README.md", "exec"), names)
    if "result" in names:
        assert (clip / "out" / "tracks.csv").is_file()
    if "labels" in names:
        assert names["labels"].shape == (64, 64)
    if "masks" in names:
        assert names["masks"].shape == (2, 4, 3, 1, 16, 16)


def test_there_are_python_blocks() -> None:
    assert len(PYTHON) == 3


def test_linked_files_exist() -> None:
    links = re.findall(r"\]\(((?!http)[^)#]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_named_models_and_recipes_exist() -> None:
    named = set(re.findall(r"scenewise (?:train|evaluate) ([a-z-]+)", README)) - {"footage"}
    assert named <= set(shipped()) | set(recipes.names())
