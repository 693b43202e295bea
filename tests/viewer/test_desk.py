"""What the page is told: arrays as the model has them, in messages that it can read."""

import io
import json
import struct

import numpy as np
import pytest
import torch

pytest.importorskip("fastapi", reason="the extra `viewer` is not installed")

from PIL import Image
from starlette.testclient import TestClient

from scenewise.errors import InputError
from scenewise.metrics import adjusted_rand_index
from scenewise.viewer import app as module
from scenewise.viewer.messages import Answer, decode
from scenewise.viewer.saving import MOST_FRAMES, save

from .conftest import app_of

KINDS = [
    *("provide", "provide-windows", "iodine", "seq-iodine", "monet", "genesis", "genesis-v2", "vae"),
    *("rnem", "ddpae", "dvip"),
]


def told(desk, what, **details):
    return decode(desk.answer({"do": what, **details}).encode({"id": 1}))


def test_messages_hold_arrays_as_they_are():
    arrays = {
        "odd": np.arange(7, dtype=np.uint8),
        "floats": np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3),
        "none": np.zeros((0, 4), np.uint8),
        "turned": np.arange(6, dtype=np.uint16).reshape(2, 3).T,
    }
    message = Answer({"a": 1, "b": "ä<"}, arrays, {"file": b"12345"}).encode({"id": 9})
    (length,) = struct.unpack_from("<I", message)
    assert (4 + length) % 4 == 0
    head, found = decode(message)
    assert (head["id"], head["a"], head["b"]) == (9, 1, "ä<")
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
    assert found["file"].tobytes() == b"12345"
    assert all(entry["at"] % 4 == 0 for entry in head["arrays"])


def test_hello_tells_what_can_be_done(make_desk):
    head, _ = told(make_desk(), "hello")
    assert (head["frames"], head["slots"], head["refines"], head["draws"], head["predicts"]) == (8, 3, True, True, True)
    head, _ = told(make_desk("vae"), "hello")
    assert (head["refines"], head["draws"], head["predicts"], head["fixed_slots"]) == (False, True, False, True)
    head, _ = told(make_desk("rnem"), "hello")
    assert head["draws"] is False


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_model_can_be_looked_at(make_desk, name):
    desk = make_desk(name)
    head, arrays = told(desk, "frame", number=3, spread=True)
    moment = desk.looking.moment(3)
    np.testing.assert_array_equal(arrays["labels"], moment.decomposition.labels[0, 0])
    np.testing.assert_allclose(arrays["masks"] / 255, moment.decomposition.masks[0, 0, :, 0], atol=0.003)
    assert head["kl"] == pytest.approx(float(moment.decomposition.kl), rel=1e-5)
    assert len(head["roles"]) == head["slots"]
    assert json.dumps(head, allow_nan=False)
    if "spread" in arrays:
        assert arrays["spread"].max() == 255
        assert head["peak"] > 0


def test_frames_with_truth_are_scored(make_desk):
    desk = make_desk()
    head, arrays = told(desk, "frame", number=2)
    expected = adjusted_rand_index(arrays["labels"].astype(int), arrays["ids"].astype(int), foreground=True).mean
    assert head["scores"]["F-ARI"] == pytest.approx(expected, abs=1e-4)


def test_responsibilities_follow_bayes(make_desk):
    desk = make_desk("iodine")
    _, arrays = told(desk, "frame", number=1)
    mixture = desk.looking.moment(1).decodes[-1].mixture
    density = torch.distributions.Normal(mixture.appearance, mixture.sigma).log_prob(mixture.frame[:, None]).sum(2)
    shares = (mixture.masks[:, :, 0].log() + density).softmax(1)
    np.testing.assert_allclose(arrays["responsibilities"] / 255, shares[0], atol=0.004)


def test_refinements_are_walked_through(make_desk):
    desk = make_desk("iodine")
    decodes = desk.looking.moment(0).decodes
    last, arrays = told(desk, "refinement", number=0)
    assert last["step"] == len(decodes) - 1
    assert last["nll"] == pytest.approx([float(d.nll) for d in decodes])
    assert "gradient_means" not in arrays
    first, arrays = told(desk, "refinement", number=0, step=0)
    assert first["step"] == 0
    assert arrays["gradient_means"].shape == (3, 16, 16, 3)
    np.testing.assert_allclose(arrays["masks"] / 255, decodes[0].mixture.masks[0, :, 0], atol=0.003)


def test_latents_can_be_changed_and_drawn(make_desk):
    desk = make_desk()
    head, arrays = told(desk, "latents", number=2)
    moment = desk.looking.moment(2)
    assert head["rankings"][1] == moment.ranking(1).tolist()
    np.testing.assert_allclose(arrays["mean"], moment.posterior.mean)
    latents = arrays["mean"].copy()
    latents[1, 0] += 3
    _, drawn = told(desk, "draw", number=2, latents=latents.tolist(), sources=[0, 1, 2])
    expected = moment.draw(torch.from_numpy(latents)[None])
    np.testing.assert_array_equal(drawn["reconstruction"], expected.images[0])
    head, drawn = told(desk, "draw", number=2, latents=latents[[1, 1, 0, 2]].tolist(), sources=[1, 1, 0, 2])
    assert head["slots"] == 4
    np.testing.assert_array_equal(drawn["masks"][0], drawn["masks"][1])


def test_a_frame_is_explained_again_and_outcomes_are_counted(make_desk):
    desk = make_desk("iodine")
    head, _ = told(desk, "again", number=1, seed=0)
    assert head["agreement"] == 1
    head, arrays = told(desk, "again", number=1, seed=5, slots=4, refinements=1)
    assert arrays["masks"].shape[0] == 4
    head, _ = told(desk, "tally", number=1, seeds=[0, 1, 2])
    assert sorted(seed for group in head["outcomes"] for seed in group) == [0, 1, 2]


def test_the_future_and_another_model(make_desk):
    desk = make_desk()
    head, arrays = told(desk, "predict", number=4, steps=5, samples=2)
    assert arrays["images"].shape == (2, 5, 16, 16, 3)
    assert arrays["truth"].shape == (3, 16, 16, 3)
    assert len(head["mse"][0]) == 3
    head, arrays = told(desk, "compare", number=4, model="iodine")
    assert head["model"] == "iodine"
    assert set(head["scores"]) == {"ARI", "F-ARI"}


@pytest.mark.parametrize(
    "request_",
    [
        {"do": "nothing"},
        {"do": 3},
        {},
        {"do": "frame", "number": -1},
        {"do": "frame", "number": "1"},
        {"do": "frame", "number": True},
        {"do": "frame", "number": 1 << 70},
        {"do": "frame", "number": 99},
        {"do": "draw", "number": 0},
        {"do": "draw", "number": 0, "latents": [[1.0]], "sources": [0]},
        {"do": "draw", "number": 0, "latents": [[1e99] * 8] * 3, "sources": [0, 1, 2]},
        {"do": "draw", "number": 0, "latents": [[0.0] * 8] * 65, "sources": [0] * 65},
        {"do": "draw", "number": 0, "latents": [[0.0] * 8] * 3, "sources": [0, 1, 9]},
        {"do": "draw", "number": 0, "latents": [[0.0] * 8] * 3, "sources": [0, 1]},
        {"do": "again", "slots": 9999},
        {"do": "tally", "seeds": list(range(99))},
        {"do": "predict", "steps": 10**9},
        {"do": "compare", "model": "../../etc/passwd"},
        {"do": "training"},
    ],
)
def test_what_cannot_be_had_is_refused(make_desk, request_):
    with pytest.raises(InputError):
        make_desk().answer(request_)


def test_a_film_leaves_the_background_as_it_is(make_desk, monkeypatch, tmp_path):
    desk = make_desk()
    image = desk.looking.moment(0).image.astype(int)
    differences = {}
    for role in ("object", "background"):
        monkeypatch.setattr(desk, "roles", lambda number, moment, role=role: [role] * moment.slots)
        _, _, content = save(desk, "gif", 0, 0, 0, tmp_path)
        film = np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(int)
        factor = 192 // max(image.shape[:2])
        shown = film[::factor, image.shape[1] * factor + 6 :: factor][: image.shape[0], : image.shape[1]]
        differences[role] = np.abs(shown - image).mean()
    assert differences["background"] < 0.8 * differences["object"]  # one slot of three, which is not painted over


class TestLink:
    @pytest.fixture
    def client(self, make_desk):
        with app_of(make_desk()) as app:
            yield TestClient(app, base_url="http://127.0.0.1:8765")

    def test_two_pages_do_not_disturb_each_other(self, client):
        with client.websocket_connect("ws://127.0.0.1:8765/link") as one:
            with client.websocket_connect("ws://127.0.0.1:8765/link") as other:
                for number, socket in ((1, one), (6, other)):
                    socket.send_text(json.dumps({"id": number, "do": "frame", "number": number}))
                assert decode(one.receive_bytes())[0]["index"] == 1
                assert decode(other.receive_bytes())[0]["index"] == 6
                other.send_text(json.dumps({"id": 7, "do": "again", "seed": 3}))  # and this page is killed
            one.send_text(json.dumps({"id": 2, "do": "frame", "number": 2}))
            head, _ = decode(one.receive_bytes())
            assert (head["id"], head["index"]) == (2, 2)

    def test_errors_are_told_and_the_page_goes_on(self, client):
        with client.websocket_connect("ws://127.0.0.1:8765/link") as socket:
            for text in ("no json", "[1]", '{"id": {"a": 1}}', '{"id": 4, "do": "frame", "number": -3}'):
                socket.send_text(text)
                head, _ = decode(socket.receive_bytes())
                assert "error" in head
            assert head["error"]["problem"] == "must be a whole number, at least 0."
            socket.send_text('{"id": 5, "do": "hello"}')
            assert decode(socket.receive_bytes())[0]["frames"] == 8

    def test_messages_beyond_the_limit_end_the_link(self, client, monkeypatch):
        monkeypatch.setattr(module, "LARGEST_MESSAGE", 1000)
        with client.websocket_connect("ws://127.0.0.1:8765/link") as socket:
            socket.send_text(json.dumps({"do": "draw", "latents": [0] * 2000}))
            assert socket.receive()["code"] == 1009

    def test_what_is_seen_can_be_saved(self, client, tmp_path):
        answer = client.get("/save/latents?number=3")
        assert answer.headers["content-disposition"] == 'attachment; filename="noise-3-latents.npz"'
        (tmp_path / "latents.npz").write_bytes(answer.content)
        with np.load(tmp_path / "latents.npz") as arrays:
            assert arrays["mean"].shape == arrays["std"].shape == (3, 8)
            assert arrays["frame"] == 3
        gif = client.get("/save/gif?first=1&last=3")
        assert gif.content[:6] == b"GIF89a"
        mp4 = client.get("/save/mp4?first=0&last=4")
        (tmp_path / "film.mp4").write_bytes(mp4.content)
        from scenewise.media import read_video

        assert len(list(read_video(tmp_path / "film.mp4"))) == 5
        assert f"MOST_FRAMES = {MOST_FRAMES};" in client.get("/static/others.js").text
        for wrong in ("gif?first=3&last=1", "gif?first=0&last=100000", "mp4?first=5&last=90", "latents?number=99"):
            assert client.get(f"/save/{wrong}").status_code == 400
