"""Who is refused: other names (DNS rebinding), other pages, other sites, and on an open host whoever has no token."""

import pytest

pytest.importorskip("fastapi", reason="the extra `viewer` is not installed")

from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from scenewise.viewer.guard import COOKIE, Guard
from scenewise.viewer.server import Place

from .conftest import app_of

HOME = "http://127.0.0.1:8765"


@pytest.fixture
def client(make_desk):
    with app_of(make_desk(), port=8765) as app:
        yield TestClient(app, base_url=HOME)


@pytest.mark.parametrize("host", ["127.0.0.1:8765", "localhost:8765", "[::1]:8765"])
def test_own_names_are_answered(client, host):
    assert client.get("/", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example:8765", "127.0.0.1:80", "127.0.0.1", "", "127.0.0.1.evil.example:8765", "a@127.0.0.1:8765",
     "127.0.0.1:8765/x", "127.0.0.1:port", "[::1"],
)  # fmt: skip
def test_other_names_are_refused(client, host):
    for path in ("/", "/static/view.js", "/save/latents"):
        assert client.get(path, headers={"host": host}).status_code == 403


def test_other_pages_and_sites_are_refused(client):
    for headers in (
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9999"},
        {"origin": "http://localhost:8765"},  # another page than 127.0.0.1
        {"origin": "file://127.0.0.1:8765"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ):
        assert client.get("/", headers=headers).status_code == 403
    assert client.get("/", headers={"origin": HOME, "sec-fetch-site": "same-origin"}).status_code == 200


@pytest.mark.parametrize(
    "headers", [{"origin": "http://evil.example"}, {"host": "evil.example:8765", "origin": "http://evil.example:8765"}]
)
def test_sockets_of_other_pages_are_refused(client, headers):
    with (
        pytest.raises(WebSocketDisconnect) as refusal,
        client.websocket_connect("ws://127.0.0.1:8765/link", headers=headers),
    ):
        pass
    assert refusal.value.code == 1008


def test_the_socket_of_the_page_itself_is_answered(client):
    with client.websocket_connect("ws://127.0.0.1:8765/link", headers={"origin": HOME}) as socket:
        socket.send_text('{"id": 1, "do": "hello"}')
        assert socket.receive_bytes()


def test_the_page_may_load_nothing_from_elsewhere_and_hold_no_script(client):
    answer = client.get("/")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "<script>" not in answer.text
    assert "style=" not in answer.text
    assert "http://" not in answer.text
    assert "https://" not in answer.text


def test_names_are_text(client):
    page = client.get("/").text
    assert "<b>title</b>" not in page
    assert "a &lt;b&gt;title&lt;/b&gt;" in page


@pytest.mark.parametrize(
    "path",
    ["/static/../app.py", "/static/..%2f..%2fapp.py", "/static/%2e%2e%2fapp.py", "/static/app.py", "/static/",
     "/static/view.html", "/etc/passwd", "/docs", "/openapi.json", "/save/../../etc/passwd", "/save/exe"],
)  # fmt: skip
def test_no_other_file_can_be_had(client, path):
    answer = client.get(path)
    assert answer.status_code in (400, 404)
    assert "import" not in answer.text


class TestToken:
    @pytest.fixture
    def client(self, make_desk):
        with app_of(make_desk(), hosts=("192.0.2.7",), port=8765, token="secret-token") as app:
            yield TestClient(app, base_url="http://192.0.2.7:8765")

    def test_without_it_nothing_is_answered(self, client):
        for query in ("", "?token=", "?token=secret-toke", "?token=secret-token2", "?token=%ff"):
            assert client.get(f"/{query}").status_code == 403
        assert client.get("/static/view.js").status_code == 403
        with pytest.raises(WebSocketDisconnect), client.websocket_connect("ws://192.0.2.7:8765/link"):
            pass

    def test_once_given_it_is_kept_in_a_cookie_that_scripts_cannot_read(self, client):
        answer = client.get("/?token=secret-token")
        assert answer.status_code == 200
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith(f"{COOKIE}=secret-token")
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert client.get("/static/view.js").status_code == 200
        with client.websocket_connect("ws://192.0.2.7:8765/link") as socket:
            socket.send_text('{"id": 1, "do": "hello"}')
            assert socket.receive_bytes()

    def test_a_broken_cookie_is_no_token(self):
        guard = Guard(None, ("h",), None, "t")
        assert guard.objection({"host": "h", "cookie": "a=b; \x00;;"}) is not None
        assert guard.objection({"host": "h", "cookie": f"{COOKIE}=t"}) is None


def test_other_machines_can_reach_it_only_with_a_token():
    assert Place.of("127.0.0.1", 0).token is None
    assert Place.of("localhost", 0).token is None
    assert Place.of("127.0.0.2", 0).token is None
    assert "127.0.0.2" in Place.of("127.0.0.2", 0).names
    tokens = {Place.of(host, 0).token for host in ("0.0.0.0", "::", "192.0.2.7")}
    assert None not in tokens
    assert len(tokens) == 3
    assert min(map(len, tokens)) >= 32
    assert "192.0.2.7" in Place.of("192.0.2.7", 0).names
