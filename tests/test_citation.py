"""CITATION.cff names the software as it is, and the five papers it grew from."""

import tomllib
from pathlib import Path

import yaml

from scenewise import __version__

ROOT = Path(__file__).parents[1]
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_version_licence_and_authors_agree() -> None:
    assert CITATION["version"] == PROJECT["version"] == __version__
    assert CITATION["license"] == PROJECT["license"]
    assert CITATION["authors"] == PROJECT["authors"]


def test_it_has_what_the_format_requires() -> None:
    assert {"cff-version", "message", "title", "authors"} <= set(CITATION)
    for paper in CITATION["references"]:
        assert {"authors", "title", "type"} <= set(paper)
        assert all("family-names" in author or "name" in author for author in paper["authors"])


def test_five_papers() -> None:
    years = {(paper["authors"][0].get("family-names"), paper["year"]) for paper in CITATION["references"]}
    assert years == {("Zablotskaia", 2021), ("Greff", 2019), ("Whitney", 2017), ("Li", 2021), (None, 2020)}
