"""A training run as it stands on disk."""

import numpy as np

from scenewise.media.contact_sheet import png
from scenewise.viewer.desk import Desk
from scenewise.viewer.messages import decode
from scenewise.viewer.runs import MOST_POINTS, is_run, run_now


def write_run(folder, stages=("1-small", "2-large", "10-last"), rows=1000):
    (folder / "recipe.yaml").write_text("recipe: {}\n")
    for n, name in enumerate(stages):
        stage = folder / "stages" / name
        (stage / "images").mkdir(parents=True)
        lines = ["step,loss,note", *(f"{i},{1000 / (i + 1)},x" for i in range(rows))]
        (stage / "metrics.csv").write_text("\n".join(lines) + "\n5")  # a row that is being written
        (stage / "images" / f"panel-{n}.png").write_bytes(png(np.full((4, 4, 3), n, np.uint8)))


def test_curves_are_short_and_stages_in_their_order(tmp_path):
    write_run(tmp_path)
    assert is_run(tmp_path)
    facts, picture = run_now(tmp_path)
    assert [stage["name"] for stage in facts["stages"]] == ["1-small", "2-large", "10-last"]
    table = facts["stages"][1]["tables"]["metrics"]
    assert len(table["loss"]) <= MOST_POINTS + 1
    assert table["loss"][:2] == [1000.0, 1000 / 4]
    assert table["loss"][-1] is None
    assert table["note"][0] is None
    assert picture is not None


def test_the_empty_scene_is_no_picture_of_a_decomposition(tmp_path):
    write_run(tmp_path, stages=("1-small",))
    (tmp_path / "stages" / "1-small" / "images" / "background.png").write_bytes(png(np.zeros((4, 4, 3), np.uint8)))
    assert run_now(tmp_path)[0]["picture_name"] == "panel-0"
    (tmp_path / "stages" / "1-small" / "images" / "panel-0.png").unlink()
    assert run_now(tmp_path)[1] is None


def test_a_run_that_has_just_begun_has_nothing_to_show(tmp_path):
    (tmp_path / "recipe.yaml").write_text("recipe: {}\n")
    assert not is_run(tmp_path)
    (tmp_path / "metrics.csv").write_text("")
    assert is_run(tmp_path)
    assert run_now(tmp_path) == ({"stages": [{"name": "", "tables": {"metrics": {}}}], "picture_name": ""}, None)


def test_a_page_may_show_a_run_alone(tmp_path):
    write_run(tmp_path, rows=5)
    desk = Desk(None, "run", run=tmp_path)
    head, _ = decode(desk.answer({"do": "hello"}).encode({}))
    assert (head["frames"], head["run"]) == (0, True)
    head, arrays = decode(desk.answer({"do": "training"}).encode({}))
    assert arrays["picture"].tobytes()[:4] == b"\x89PNG"
    assert head["picture_name"] == "panel-2"
