"""The service over HTTP, with workers that pretend, and once with real ones."""

import asyncio
import os
import threading
import time

import numpy as np
import pytest

pytest.importorskip("fastapi")
pytest.importorskip("httpx")

from fastapi.testclient import TestClient

from scenewise.batch.job import BatchJob, FrameCount, Outcome
from scenewise.batch.pool import LocalPool, Pool
from scenewise.checkpoint import Card, Reference, load_model, save_model
from scenewise.config import build
from scenewise.media import VideoWriter
from scenewise.models.contract import MODELS
from scenewise.serve.app import make_app
from scenewise.serve.roots import Root
from scenewise.serve.service import Service, ServiceLimits

VIDEO = {"content-type": "video/mp4"}


class Pretended(Pool):
    """Writes one file per video when it is let; what it is given and told to cancel is remembered."""

    def __init__(self, out):
        self.out, self.running, self.canceled, self.go, self.tasks = out, [], [], threading.Event(), []
        self.error = ""

    @property
    def room(self):
        return 1 - len(self.running)

    def submit(self, group):
        self.running += group
        self.tasks += group

    def events(self, seconds):
        time.sleep(0.005)
        if self.running and self.running[-1].name in self.canceled:
            return [Outcome(self.running.pop().name, "ended", killed=True)]
        if not self.go.is_set() or not self.running:
            return [FrameCount(task.name, 2, 9) for task in self.running]
        task = self.running.pop()
        if not self.error:
            os.makedirs(f"{self.out}/videos/{task.name}/masks")
            for name in ("run.json", "masks/00000.png"):
                with open(f"{self.out}/videos/{task.name}/{name}", "w") as file:
                    file.write("{}")
        return [Outcome(task.name, self.error, verdict="known footage", objects=2, frames=9, seconds=0.5)]

    def cancel(self, name):
        self.canceled.append(name)

    def close(self):
        pass


@pytest.fixture
def serve(tmp_path):
    running = []

    def start(limits=None, token=None, roots=(), out=tmp_path / "served"):
        job = BatchJob(str(out), "model", "f00d")
        service = Service(job, "tiny", limits or ServiceLimits(), roots)
        pool = Pretended(out)
        thread = threading.Thread(target=service.work, args=(lambda: pool,))
        thread.start()
        running.append((service, thread))
        return TestClient(make_app(service, token), base_url="http://localhost"), pool, service

    yield start
    for service, thread in running:
        service.end()
        thread.join()
        service.close()


def post(client, name="clip.mp4", content=b"bytes", headers=VIDEO):
    return client.post("/jobs", params={"name": name}, content=content, headers=headers)


def wait(client, number, *states):
    deadline = time.monotonic() + 120
    while (facts := client.get(f"/jobs/{number}").json())["state"] not in states:
        assert time.monotonic() < deadline, facts
        time.sleep(0.01)
    return facts


def test_a_video_from_upload_to_files(serve, tmp_path):
    client, pool, _ = serve()
    answer = post(client, "my clip.mp4")
    assert answer.status_code == 202
    number = answer.json()["id"]
    facts = wait(client, number, "running")
    assert facts["name"] == "my clip.mp4"
    deadline = time.monotonic() + 30
    while not facts["frames"] and time.monotonic() < deadline:
        facts = client.get(f"/jobs/{number}").json()
    assert (facts["frames"], facts["expected_frames"], facts["objects"]) == (2, 9, None)
    with open(pool.tasks[0].location, "rb") as file:
        assert file.read() == b"bytes"
    pool.go.set()
    facts = wait(client, number, "done")
    assert (facts["verdict"], facts["objects"], facts["frames"]) == ("known footage", 2, 9)
    assert facts["files"] == ["masks/00000.png", "run.json"]
    assert client.get(f"/jobs/{number}/files/masks/00000.png").text == "{}"
    assert not list((tmp_path / "served/uploads").iterdir())
    assert client.get("/jobs").json() == [number]
    assert client.delete(f"/jobs/{number}").status_code == 204
    assert client.get(f"/jobs/{number}").status_code == 404
    assert not list((tmp_path / "served/videos").iterdir())


def test_names_of_files_lead_nowhere_else(serve, tmp_path):
    client, pool, service = serve()
    pool.go.set()
    number = post(client).json()["id"]
    wait(client, number, "done")
    for name in ("../../ledger.sqlite", "..%2f..%2fledger.sqlite", "/etc/passwd", "masks", "nothing", ""):
        assert client.get(f"/jobs/{number}/files/{name}").status_code == 404
    assert service.file(number, "../../ledger.sqlite") is None
    for odd in ("..", "%2e%2e", "x" * 3000, "0"):
        assert client.get(f"/jobs/{odd}").status_code == 404


def test_what_is_refused(serve):
    client, _, _ = serve(ServiceLimits(megabytes=1))
    assert post(client, "clip.exe").status_code == 422
    assert post(client, "../../../clip").status_code == 422
    assert post(client, content=b"").status_code == 400
    assert post(client, content=b"x" * (1 << 20) + b"x").status_code == 413
    assert post(client, content=iter([b"x" * (1 << 19)] * 3)).status_code == 413  # without telling its size
    assert post(client, headers={"content-type": "text/plain"}).status_code == 415
    assert client.post("/jobs/link", json={"url": "https://example.org/a.mp4"}).status_code == 422
    assert client.get("/jobs").json() == []


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", 400),
        (b"{", 422),
        (b"[]", 422),
        (b'{"url": NaN}', 422),
        (b'{"url": ["\\ud800"]}', 422),
        (b'{"url": "\\ud800"}', 422),
        (b'{"\\ud800": 1}', 422),
        (b'{"url": {"a": 1e999}}', 422),
        (b"[" * 20_000, 422),
        (b'{"url": ' + b"9" * 6000 + b"}", 422),
        (b"\xff\xfe", 422),
        (b'{"url": "' + b"a" * 5000 + b'"}', 422),
        (b'{"url": "' + b"a" * 200_000 + b'"}', 413),
    ],
)
def test_whatever_is_sent_for_an_address_is_refused_in_a_line(serve, body, code):
    client, _, _ = serve()
    answer = client.post("/jobs/link", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == code
    assert len(answer.json()["detail"]) < 200
    many = client.post("/jobs/link", content=(bytes(1 << 16) for _ in range(3)))
    assert many.status_code == 413, "without a length that is told before"


def test_an_upload_that_breaks_off_is_no_fault_and_leaves_nothing(serve, tmp_path):
    client, _, service = serve()
    told = []

    async def receive():
        return {"type": "http.disconnect"} if told else told.append(1) or {
            "type": "http.request", "body": b"half", "more_body": True
        }  # fmt: skip

    async def send(message):
        told.append(message.get("status"))

    scope = {"type": "http", "method": "POST", "path": "/jobs", "raw_path": b"/jobs", "query_string": b"name=a.mp4"}
    scope |= {"headers": [(b"host", b"localhost"), (b"content-type", b"video/mp4")], "http_version": "1.1"}
    asyncio.run(client.app(scope, receive, send))
    assert told[1] == 400
    assert service.numbers() == []
    assert list((tmp_path / "served" / "uploads").iterdir()) == []


def test_the_queue_has_an_end(serve):
    client, pool, _ = serve(ServiceLimits(queue=2))
    first = post(client).json()["id"]
    wait(client, first, "running")
    assert [post(client).status_code for _ in range(4)] == [202, 202, 429, 429]
    assert client.get("/health").json()["waiting"] == 2
    pool.go.set()
    wait(client, client.get("/jobs").json()[0], "done")
    assert post(client).status_code == 202


def test_a_video_that_fails_is_told_once(serve):
    client, pool, _ = serve()
    pool.error = "is no video."
    pool.go.set()
    facts = wait(client, post(client).json()["id"], "failed")
    assert facts["error"] == "is no video."
    assert len(pool.tasks) == 1


def test_a_video_that_runs_can_be_broken_off(serve):
    client, pool, _ = serve()
    number = post(client).json()["id"]
    wait(client, number, "running")
    assert client.delete(f"/jobs/{number}").status_code == 204
    until = time.monotonic() + 20  # another thread does it
    while not pool.canceled and time.monotonic() < until:
        time.sleep(0.01)
    assert pool.canceled[0] == number
    pool.go.set()
    wait(client, post(client).json()["id"], "done")


def test_the_token(serve):
    client, _, _ = serve(token="0123456789abcdef")
    assert client.get("/health").status_code == 200
    for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "Basic 0123456789abcdef"}):
        assert client.get("/jobs", headers=headers).status_code == 401
        assert client.post("/jobs?name=a.mp4", content=b"x", headers=VIDEO | headers).status_code == 401
    assert client.get("/jobs", headers={"authorization": "Bearer 0123456789abcdef"}).json() == []


def test_without_a_token_other_names_of_this_machine_are_not_answered(serve):
    client, _, service = serve()
    for host in ("evil.example.org", "localhost.example.org", "127.0.0.2"):
        assert client.get("/jobs", headers={"host": host}).status_code == 400
    for host in ("localhost:8000", "127.0.0.1", "[::1]:8000"):
        assert client.get("/jobs", headers={"host": host}).status_code == 200
    elsewhere = TestClient(make_app(service, hosts=("127.0.0.2",)), base_url="http://127.0.0.2:8000")
    assert elsewhere.get("/jobs").status_code == 200


def test_addresses_below_a_root(serve):
    client, pool, _ = serve(roots=[Root.read("https://media.example.org/clips/")])
    answer = client.post("/jobs/link", json={"url": "https://media.example.org/clips/night/a.mp4?x=1"})
    assert answer.status_code == 202
    facts = wait(client, answer.json()["id"], "running")
    assert facts["name"] == "a.mp4"
    assert pool.tasks[0].location == "https://media.example.org/clips/night/a.mp4?x=1"
    assert client.post("/jobs/link", json={"url": "https://media.example.org/a.mp4"}).status_code == 422


def test_what_waited_goes_on_with_the_next_service(serve, tmp_path):
    out = tmp_path / "elsewhere"
    client, pool, service = serve(out=out)
    pool.go.set()
    done = post(client).json()["id"]
    wait(client, done, "done")
    pool.go.clear()
    running, waiting = post(client).json()["id"], post(client).json()["id"]
    wait(client, running, "running")
    service.end()
    time.sleep(0.1)
    service.close()
    client, pool, _ = serve(out=out)
    pool.go.set()
    for number in (done, running, waiting):
        assert wait(client, number, "done")["files"]
    assert [task.name for task in pool.tasks] == [running, waiting]


def test_old_results_go(serve):
    client, pool, _ = serve(ServiceLimits(keep=2))
    pool.go.set()
    numbers = []
    for _ in range(4):
        numbers.append(post(client).json()["id"])
        wait(client, numbers[-1], "done")
    assert set(client.get("/jobs").json()) == set(numbers[2:])


def test_the_description_tells_every_question(serve):
    client, _, _ = serve()
    paths = client.get("/openapi.json").json()["paths"]
    assert set(paths) == {"/health", "/jobs", "/jobs/link", "/jobs/{number}", "/jobs/{number}/files/{name}"}
    assert "application/octet-stream" in paths["/jobs"]["post"]["requestBody"]["content"]


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory):
    kind = MODELS.get("provide")
    model = kind(build(kind.config_class, kind.presets["tiny"], "preset"))
    card = Card(name="tiny", validated=Reference(mse=1.0, mse_high=1.0, data="noise"))
    return str(save_model(model, tmp_path_factory.mktemp("models") / "tiny", card))


@pytest.mark.slow
def test_real_workers(tiny_model, tmp_path):
    with VideoWriter(tmp_path / "a.mp4", (24, 32), 10) as writer:
        for level in range(12):
            writer.write(np.full((24, 32, 3), 20 * level, np.uint8))
    content = (tmp_path / "a.mp4").read_bytes()
    fingerprint = load_model(tiny_model).fingerprint
    job = BatchJob(str(tmp_path / "out"), tiny_model, fingerprint, "cpu", formats=["slots"], most_frames=12)
    service = Service(job, "tiny", ServiceLimits())
    thread = threading.Thread(target=service.work, args=(lambda: LocalPool(job, 1, service.held),))
    thread.start()
    try:
        client = TestClient(make_app(service), base_url="http://127.0.0.1:8000")
        number = post(client, content=content).json()["id"]
        broken = post(client, content=b"no video").json()["id"]
        facts = wait(client, number, "done", "failed")
        assert (facts["state"], facts["frames"], facts["files"]) == ("done", 12, ["run.json", "slots.json"])
        record = client.get(f"/jobs/{number}/files/run.json").json()
        assert record["settings"]["input"]["origin"] == "clip.mp4"
        assert str(tmp_path / "out") not in client.get(f"/jobs/{number}/files/run.json").text
        assert wait(client, broken, "failed")["error"].startswith("expected an mp4")
    finally:
        service.end()
        thread.join()
        service.close()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_no_question_is_a_fault(serve):
    """Questions of every kind, made from the description; none may end in an error of the server."""
    schemathesis = pytest.importorskip("schemathesis")
    from hypothesis import HealthCheck, given, settings

    client, pool, service = serve(ServiceLimits(queue=4), roots=[Root.read("https://media.example.org/clips/")])
    pool.go.set()
    app = make_app(service)
    schema = schemathesis.openapi.from_asgi("/openapi.json", app, headers={"host": "localhost"})
    asked = []

    for operation in schema.get_all_operations():

        @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
        @given(case=operation.ok().as_strategy())
        def ask(case):
            answer = case.call(headers={"host": "localhost"})
            asked.append(answer.status_code)
            assert answer.status_code < 500, answer.text

        ask()
    assert len(asked) > 150
    assert client.get("/health").status_code == 200
