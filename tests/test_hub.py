"""Models of the hub, for which a server of this machine stands, and a stand-in for putting them there."""

import hashlib
import http.server
import json
import shutil
import threading
from pathlib import Path

import pytest

pytest.importorskip("huggingface_hub")

from tests.processes import Process, command, load_from_hub

import scenewise as sw
from scenewise import hub
from scenewise.checkpoint import shipped
from scenewise.errors import InputError

COMMIT = "0123456789abcdef0123456789abcdef01234567"
NAME = "provide-balls-binary"


@pytest.fixture
def server(tmp_path):
    """The questions of the hub that getting a model asks, for a repository "org/balls"."""
    weights = Path(sw.__file__).parent / "weights" / NAME
    folder = tmp_path / "repository"
    shutil.copytree(weights, folder)
    (folder / "evil.py").write_text("raise SystemExit('it ran')")
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.do_GET()

        def do_GET(self):
            asked.append(self.path)
            path = self.path.partition("?")[0]
            if path.startswith("/api/models/org/balls/tree/"):
                facts = {"type": "file", "oid": "0" * 40}
                files = [{**facts, "path": file.name, "size": file.stat().st_size} for file in folder.iterdir()]
                return self.give(json.dumps(files).encode())
            if path.startswith("/api/models/org/balls"):
                files = [{"rfilename": file.name} for file in folder.iterdir()]
                return self.give(json.dumps({"id": "org/balls", "sha": COMMIT, "siblings": files}).encode())
            if path.startswith("/org/balls/resolve/"):
                return self.give((folder / path.rpartition("/")[2]).read_bytes())
            self.send_error(404)

        def give(self, content):
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("ETag", f'"{hashlib.sha1(content).hexdigest()}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

        def log_message(self, *_):
            pass

    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{running.server_address[1]}", asked
    running.shutdown()


def test_a_model_is_got_and_kept(server, tmp_path):
    address, asked = server
    environment = {"HF_ENDPOINT": address, "HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_XET": "1"}
    options = {"environment": environment, "cwd": tmp_path}
    done = Process(load_from_hub, "org/balls", **options)
    told, errors = done.communicate()
    assert done.returncode == 0, errors
    path, fingerprint = told.split()
    assert fingerprint == sw.load(NAME, "cpu").fingerprint
    assert {file.name for file in Path(path).iterdir()} <= {"config.json", "model.safetensors", "README.md"}
    assert not any("evil" in question for question in asked)
    missing = command("decompose", "x.mp4", "--out", "o", "--model", "org/nothing", **options)
    _, errors = missing.communicate()
    assert missing.returncode == 2
    assert "org/nothing: is no model that ships, no folder, and cannot be got from the hub" in errors


def test_a_mistyped_folder_is_not_asked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(hub, "fetch", lambda *_: pytest.fail("asked the hub"))
    (tmp_path / "runs").mkdir()
    for text in ("runs/modle", "provide-ball", "/nowhere/model", "./a/b", "a/b/c", "../a"):
        with pytest.raises(InputError, match="is neither a model that ships nor a folder"):
            sw.load(text)
    assert NAME in shipped()


def test_a_model_is_put_there_whole(monkeypatch, tmp_path):
    import huggingface_hub

    calls = []

    def take(repo_id, folder_path, commit_message):
        shutil.copytree(folder_path, tmp_path / "taken")
        calls.append((repo_id, commit_message))

    monkeypatch.setattr(huggingface_hub, "create_repo", lambda name, **more: f"https://hub/{name}?{more['private']}")
    monkeypatch.setattr(huggingface_hub, "upload_folder", take)
    model = sw.load(NAME, "cpu")
    assert model.push_to_hub("org/balls", private=True) == "https://hub/org/balls?True"
    assert calls[0][0] == "org/balls"
    assert {file.name for file in (tmp_path / "taken").iterdir()} == {"config.json", "model.safetensors", "README.md"}
    assert sw.load(tmp_path / "taken", "cpu").fingerprint == model.fingerprint
    with pytest.raises(InputError, match="is no name on the hub"):
        model.push_to_hub("balls")
