"""`scenewise doctor`."""


def test_doctor_knows_what_is_there(scenewise):
    code, out, _ = scenewise("doctor")
    assert code in (0, 1)
    assert ("nothing is wrong" in out) == (code == 0)
    for topic in ("python", "packages", "devices", "threads", "video", "weights", "data", "room"):
        assert topic in out
    assert "could not be checked" not in out


def test_doctor_tells_the_remedy(scenewise, monkeypatch):
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    code, out, _ = scenewise("doctor")
    assert code == 1
    assert "export OMP_WAIT_POLICY=PASSIVE" in out
