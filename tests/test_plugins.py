"""Other packages plug in: the one in examples/plugin works in every command, and a broken one stops none."""

import importlib
import os
import re
import shutil
import subprocess
import sys
import warnings
from importlib.metadata import PathDistribution
from pathlib import Path

import pytest

from scenewise import registry
from scenewise.errors import InputError
from scenewise.registry import PluginWarning, Registry, plugin_folders
from scenewise.training import recipes

ROOT = Path(__file__).parents[1]
PLUGIN = ROOT / "examples" / "plugin"
PAGE = ROOT / "docs" / "extend.md"


def make_distribution(folder: Path, name: str, entry_points: str, **modules: str) -> None:
    """Write a package as pip leaves it: its modules, and metadata that name its entry points."""
    metadata = folder / f"{name}-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(entry_points)
    for module, text in modules.items():
        (folder / f"{module}.py").write_text(text)


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder from which packages are imported, as site-packages."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(registry, "LEFT_OUT", set())
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("plugged")]:
        del sys.modules[name]


FRUIT = "from tests_fruit import FRUIT\nFRUIT.register('{name}')('{name}')\n"


@pytest.fixture
def fruit(site, monkeypatch):
    """A registry that plug-ins reach as `tests_fruit.FRUIT`."""
    table: Registry[str] = Registry("fruit", group="scenewise.fruit")
    module = type(sys)("tests_fruit")
    module.FRUIT = table
    monkeypatch.setitem(sys.modules, "tests_fruit", module)
    return table


def test_what_a_plug_in_registers_is_there(site, fruit):
    make_distribution(
        site, "plugged", "[scenewise.fruit]\napple = plugged_apple\n", plugged_apple=FRUIT.format(name="apple")
    )
    assert fruit.names() == ["apple"]
    assert fruit.get("apple") == "apple"


def test_a_broken_plug_in_is_told_once_by_name_and_the_rest_is_there(site, fruit):
    make_distribution(
        site,
        "plugged",
        "[scenewise.fruit]\napple = plugged_apple\nrotten = plugged_rotten\ngone = plugged_gone\n",
        plugged_apple=FRUIT.format(name="apple"),
        plugged_rotten="raise RuntimeError('it is\\nrotten')\n",
    )
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        assert fruit.names() == ["apple"]
        assert Registry("fruit", group="scenewise.fruit").names() == []  # another table of the same group
    assert [(each.category, str(each.message)) for each in told] == [
        (
            PluginWarning,
            "the plug-in 'gone' of plugged (scenewise.fruit) is left out: "
            "ModuleNotFoundError: No module named 'plugged_gone'",
        ),
        (
            PluginWarning,
            "the plug-in 'rotten' of plugged (scenewise.fruit) is left out: RuntimeError: it is rotten",
        ),
    ]


def test_a_plug_in_that_ends_the_program_is_left_out(site, fruit):
    make_distribution(
        site,
        "plugged",
        "[scenewise.fruit]\napple = plugged_apple\nend = plugged_end\n",
        plugged_apple=FRUIT.format(name="apple"),
        plugged_end="import sys\nsys.exit(3)\n",
    )
    with pytest.warns(PluginWarning, match="'end' of plugged .* is left out: SystemExit: 3"):
        assert fruit.names() == ["apple"]


def test_a_plug_in_cannot_displace_a_name(site, fruit):
    fruit.register("apple")("ours")
    make_distribution(
        site, "plugged", "[scenewise.fruit]\napple = plugged_apple\n", plugged_apple=FRUIT.format(name="apple")
    )
    with pytest.warns(PluginWarning, match=r"left out: KeyError: .*'apple' is registered twice"):
        assert fruit.names() == ["apple"]
    assert fruit.get("apple") == "ours"


def test_a_table_without_a_group_reads_no_plug_ins(monkeypatch):
    monkeypatch.setattr("importlib.metadata.entry_points", lambda **_: pytest.fail("looked for plug-ins"))
    table: Registry[int] = Registry("fruit")
    table.register("apple")(1)
    assert table.names() == ["apple"]


def test_an_unknown_name_is_an_error_with_the_right_article():
    table: Registry[int] = Registry("export format")
    table.register("tracks")(1)
    with pytest.raises(InputError, match=r"^track: is not an export format\. Did you mean 'tracks'\?$"):
        table.get("track")


# -- recipes ---------------------------------------------------------------------------------------------------------


def test_recipes_of_plug_ins_and_of_folders_have_names(site, monkeypatch):
    make_distribution(site, "plugged", "[scenewise.recipes]\nmine = plugged_recipes\nnone = plugged_none\n")
    for folder in ("plugged_recipes", "mine", "other"):
        (site / folder).mkdir()
    (site / "plugged_recipes" / "__init__.py").write_text("raise RuntimeError('recipes are found without importing')\n")
    (site / "plugged_recipes" / "plugged-tiny.yaml").write_text("summary: of the plug-in\n")
    (site / "mine" / "own-tiny.yaml").write_text("summary: of the first folder\n")
    (site / "mine" / "provide-tiny.yaml").write_text("summary: never read\n")
    (site / "other" / "own-tiny.yaml").write_text("summary: of the second folder\n")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PluginWarning)  # `none` is no package
        before = set(recipes.names())
        monkeypatch.setenv("SCENEWISE_RECIPES", os.pathsep.join([str(site / "mine"), str(site / "other"), ""]))
        assert set(recipes.names()) - before == {"own-tiny"}
        assert recipes.load("plugged-tiny").summary == "of the plug-in"
        assert recipes.load("own-tiny").summary == "of the first folder"
        assert recipes.load("provide-tiny").summary != "never read"


def test_a_recipe_entry_that_is_no_package_is_told(site):
    make_distribution(site, "plugged", "[scenewise.recipes]\nnone = plugged_none\n")
    with pytest.warns(PluginWarning, match="the plug-in 'none' of plugged .* plugged_none is not a package"):
        assert all("plugged" not in folder.name for folder in plugin_folders("scenewise.recipes"))


# -- the example -----------------------------------------------------------------------------------------------------

RUN = """
import sys
from scenewise.cli import main
for words in (line.split() for line in sys.stdin.read().splitlines()):
    code = main(words)
    if code:
        sys.exit(f"scenewise {' '.join(words)}: exit code {code}")
"""

SMALL = {
    "data": "--out sheet.png",
    "train": "model.preset=tiny training.steps=2 training.batch=2 training.device=cpu training.validation_videos=1",
    "evaluate": "--device cpu --samples 2 --json scores.json",
    "decompose": "--device cpu",
}


def printed_commands() -> list[str]:
    """The commands of the page, without `scenewise`, made small."""
    block = re.search(r"^```sh\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)[1]
    lines = re.findall(r"^scenewise (\S+)(.*?)(?:\s+#.*)?$", block, re.MULTILINE)
    return [f"{verb}{rest} {SMALL[verb]}" for verb, rest in lines]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The folder that pip installs the example into, without network."""
    pytest.importorskip("hatchling")
    source, site = tmp_path_factory.mktemp("source") / "plugin", tmp_path_factory.mktemp("site")
    shutil.copytree(PLUGIN, source)
    options = ["--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--target", str(site)]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, str(source)], check=True)
    return site


@pytest.fixture
def environment(installed):
    path = os.pathsep.join([str(installed), str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    return os.environ | {"PYTHONPATH": path, "OMP_WAIT_POLICY": "PASSIVE"}


def test_the_example_is_installed_with_an_entry_in_every_group(installed):
    (metadata,) = installed.glob("*.dist-info")
    assert {entry.group for entry in PathDistribution(metadata).entry_points} == {
        f"scenewise.{kind}" for kind in ("models", "sources", "protocols", "formats", "recipes")
    }
    assert (installed / "scenewise_example" / "recipes" / "onelook-clips.yaml").is_file()


@pytest.mark.slow
def test_every_command_of_the_page_works(environment, tmp_path):
    subprocess.run([sys.executable, PLUGIN / "make_clips.py"], cwd=tmp_path, env=environment, check=True)
    commands = printed_commands()
    assert [line.split()[0] for line in commands] == ["data", "train", "evaluate", "decompose"]
    done = subprocess.run(
        [sys.executable, "-W", "error::scenewise.registry.PluginWarning", "-c", RUN],
        input="\n".join(commands),
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "clips of clips/test.npz" in done.stdout
    assert '"purity"' in (tmp_path / "scores.json").read_text()
    assert (tmp_path / "out" / "clip" / "report.html").is_file()
    head, *rows = [line.split(",") for line in (tmp_path / "out" / "clip" / "areas.csv").read_text().splitlines()]
    assert head == ["frame", "slot 0", "slot 1", "slot 2"]  # two objects and the background
    assert [row[0] for row in rows] == ["0", "1", "2"]
    assert all(abs(sum(map(float, row[1:])) - 1) < 1e-5 for row in rows)


@pytest.mark.slow
def test_the_example_model_passes_the_suite_of_all_models(environment):
    command = [sys.executable, "-m", "pytest", "-q", "tests/models/test_registry_suite.py", "-k", "onelook"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) >= 10


_PURITY = """
import numpy as np
from scenewise_example.purity import purity

ids = np.array([[0, 1, 1, 2, 2, -1]])
print([purity(np.array([labels]), ids) for labels in ([3, 0, 0, 1, 1, 0], [0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 1, 1])])
print(purity(np.zeros((1, 2), int), np.zeros((1, 2), int)))
"""


def test_purity_of_frames_counted_by_hand():
    """In a process of its own: what a plug-in registers is there for good."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(PLUGIN / "src"), str(ROOT / "src")])}
    done = subprocess.run([sys.executable, "-c", _PURITY], env=environment, capture_output=True, text=True, check=True)
    # of four pixels of objects the largest has two; with two slots one of them holds a pixel of the other object's
    assert done.stdout.split("\n")[:2] == ["[1.0, 0.5, 0.75]", "nan"]


def test_the_page_shows_the_files_as_they_are():
    page = PAGE.read_text(encoding="utf-8")
    shown = dict(re.findall(r"<!-- (examples/\S+) -->\n```\w+\n(.*?)```\n", page, re.DOTALL))
    files = {name: (ROOT / name).read_text(encoding="utf-8") for name in shown}
    assert files == shown, "run: python scripts/listings.py"
    everything = {str(path.relative_to(ROOT)) for end in ("py", "toml", "yaml") for path in PLUGIN.rglob(f"*.{end}")}
    assert {name for name in everything if not name.endswith("__init__.py")} == set(shown)


def test_what_bears_a_name_is_had_without_the_others(tmp_path, monkeypatch):
    package = tmp_path / "orchard_of_two"
    package.mkdir()
    (package / "__init__.py").write_text(
        "from scenewise.registry import Registry\nFRUIT = Registry('fruit', 'orchard_of_two')\n"
    )
    for module, name in (("green_apple", "green-apple"), ("others", "pear")):
        (package / f"{module}.py").write_text(f"from orchard_of_two import FRUIT\nFRUIT.register('{name}')(1)\n")
    monkeypatch.syspath_prepend(tmp_path)
    fruit = importlib.import_module("orchard_of_two").FRUIT
    assert fruit.get("green-apple") == 1
    assert "orchard_of_two.others" not in sys.modules
    assert fruit.names() == ["green-apple", "pear"]
    with pytest.raises(InputError, match="is not a fruit"):
        fruit.get("others")
