"""`scenewise demo`."""


def test_demo_shows_scores_of_two_protocols(scenewise, model, tmp_path):
    out = tmp_path / "demo"
    code, told, _ = scenewise("demo", "--out", out, "--model", model, "--frames", 6)
    assert code == 0
    assert "provide" in told
    assert "savi" in told
    assert "frames/s" in told
    assert "peak memory" in told
    assert str(out / "balls" / "report.html") in told
    assert {p.name for p in out.iterdir()} == {"balls", "balls.mp4", "ids"}
    assert (out / "balls" / "report.html").exists()
    code, _, err = scenewise("demo", "--out", out, "--model", model)
    assert code == 2
    assert "--overwrite" in err


def test_demo_takes_any_generated_source(scenewise, tmp_path):
    code, out, _ = scenewise("demo", "--data", "moving-sprites", "--frames", 2, "--out", tmp_path / "demo")
    assert code == 0
    assert "made 2 frames of moving-sprites" in out
    code, _, err = scenewise("demo", "--data", "rnem-h5", "--out", tmp_path / "other")
    assert code == 2
    assert "seed" in err or "path" in err
