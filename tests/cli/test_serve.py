"""scenewise serve: who may ask, and a service as a process."""

import json
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--host", "0.0.0.0"), "without a token only this machine may ask"),
        (("--host", "example.org"), "without a token only this machine may ask"),
        (("--token-file", "nowhere"), "is no file"),
        (("--token-file", "{short}"), "must have at least 16 letters"),
        (("--queue", "0"), "queue: must be at least 1"),
        (("--workers", "0"), "--workers: must lie in"),
        (("--fetch", "https://user:word@host/"), "is no plain address"),
    ],
)
def test_what_cannot_start(scenewise, model, tmp_path, words, told):
    (tmp_path / "short").write_text("short\n")
    words = [word.format(short=tmp_path / "short") for word in words]
    code, _, err = scenewise("serve", "--model", model, "--out", tmp_path / "out", *words)
    assert code == 2
    assert told in err
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_service_as_a_process(model, clip, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (tmp_path / "token").write_text("0123456789abcdef\n")
    words = ["serve", "--model", model, "--out", "out", "--port", str(port), "--token-file", "token", "--workers", "1"]
    command = [sys.executable, "-m", "scenewise.cli", *words, "--formats", "slots", "--device", "cpu"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def ask(path, content=None, token="0123456789abcdef"):
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "video/mp4"}
        request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", content, headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    deadline = time.monotonic() + 120
    while True:
        try:
            assert ask("/health")["status"] == "ok"
            break
        except OSError:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.2)
    with pytest.raises(urllib.error.HTTPError, match="401"):
        ask("/jobs", token="wrong")
    with open(clip, "rb") as file:
        number = ask("/jobs?name=clip.mp4", file.read())["id"]
    while (facts := ask(f"/jobs/{number}"))["state"] not in ("done", "failed"):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert (facts["state"], facts["frames"]) == ("done", 8)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 143, err
    assert "Traceback" not in err
