"""Who gets in: every combination goes through the whole application, as bytes of headers."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from served_run import ask, asked, made_subject

from edgeseg.errors import ConfigError
from edgeseg.web import guard
from edgeseg.web.access import COOKIE, Access, host_name, same_origin
from edgeseg.web.app import create_app
from edgeseg.web.hub import Hub

TOKEN = "a-long-enough-token"
LOCAL = Access("127.0.0.1", names=("jetson",))
LOCAL_WITH_TOKEN = Access("127.0.0.1", TOKEN)
OPEN = Access("0.0.0.0", TOKEN, ("jetson", "jetson.local"))

Fields = list[tuple[str, str]]


@pytest.fixture(autouse=True)
def _no_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "_WRONG_TOKEN_S", 0.0)


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    with Hub(made_subject(tmp_path).vitals) as made:
        yield made


@pytest.fixture
def application(hub: Hub, tmp_path: Path) -> Any:
    return lambda access: create_app(hub, made_subject(tmp_path), access)


BEARER = ("Authorization", f"Bearer {TOKEN}")
COOKIE_OF_OPEN = ("Cookie", f"other=1; {COOKIE}={OPEN.cookie()}")
JSON = ("Content-Type", "application/json")

# On a loopback address, without a token: (Host, further headers, method, expected status).
LOCAL_CASES: list[tuple[str | None, Fields, str, int]] = [
    ("127.0.0.1:8080", [], "GET", 200),
    ("127.0.0.1", [], "GET", 200),
    ("localhost:8080", [], "GET", 200),
    ("LOCALHOST:8080", [], "GET", 200),
    ("localhost:9000", [], "GET", 200),  # through ssh -L 9000:localhost:8080
    ("[::1]:8080", [], "GET", 200),
    ("127.1.2.3:8080", [], "GET", 200),
    ("jetson:8080", [], "GET", 200),
    ("evil.example:8080", [], "GET", 421),  # a name that somebody points at 127.0.0.1
    ("localhost.evil.example:8080", [], "GET", 421),
    ("127.0.0.1.evil.example", [], "GET", 421),
    ("localhost.", [], "GET", 421),
    ("192.168.1.5:8080", [], "GET", 421),
    ("[fe80::1]:8080", [], "GET", 421),
    ("[::1%eth0]:8080", [], "GET", 421),
    ("[::1", [], "GET", 421),
    ("::1", [], "GET", 421),
    ("127.0.0.1:", [], "GET", 421),
    ("127.0.0.1:0", [], "GET", 421),
    ("127.0.0.1:99999", [], "GET", 421),
    ("127.0.0.1:80a", [], "GET", 421),
    ("user@127.0.0.1", [], "GET", 421),
    ("127.0.0.1/evil", [], "GET", 421),
    ("0x7f000001", [], "GET", 421),
    ("", [], "GET", 421),
    (None, [], "GET", 421),
    ("127.0.0.1:8080", [("Host", "evil.example")], "GET", 421),
    ("127.0.0.1:8080", [("Origin", "http://127.0.0.1:8080")], "GET", 200),
    ("127.0.0.1:8080", [("Origin", "http://evil.example")], "GET", 403),
    ("127.0.0.1:8080", [("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "no-cors")], "GET", 403),
    ("127.0.0.1:8080", [("Sec-Fetch-Site", "same-site"), ("Sec-Fetch-Mode", "cors")], "GET", 403),
    ("127.0.0.1:8080", [("Sec-Fetch-Site", "same-origin")], "GET", 200),
    ("127.0.0.1:8080", [("Sec-Fetch-Site", "none")], "GET", 200),
    ("127.0.0.1:8080", [JSON], "POST", 204),  # a program; browsers always name an origin
    ("127.0.0.1:8080", [JSON, ("Origin", "http://127.0.0.1:8080"), ("Sec-Fetch-Site", "same-origin")], "POST", 204),
    ("localhost", [JSON, ("Origin", "http://localhost")], "POST", 204),
    ("localhost:80", [JSON, ("Origin", "http://localhost")], "POST", 204),
    ("[::1]:8080", [JSON, ("Origin", "http://[::1]:8080")], "POST", 204),
    ("jetson", [JSON, ("Origin", "https://jetson")], "POST", 204),  # behind a proxy that ends TLS
    ("127.0.0.1:8080", [JSON, ("Origin", "http://localhost:8080")], "POST", 403),
    ("127.0.0.1:8080", [JSON, ("Origin", "http://127.0.0.1:3000")], "POST", 403),
    ("127.0.0.1:8080", [JSON, ("Origin", "http://127.0.0.1:8080.evil.example")], "POST", 403),
    ("127.0.0.1:8080", [JSON, ("Origin", "null")], "POST", 403),
    ("127.0.0.1:8080", [JSON, ("Origin", "")], "POST", 403),
    ("127.0.0.1:8080", [JSON, ("Origin", "ftp://127.0.0.1:8080")], "POST", 403),
    ("127.0.0.1:8080", [JSON, ("Origin", "http://127.0.0.1:8080"), ("Origin", "http://evil.example")], "POST", 403),
    ("127.0.0.1:8080", [JSON, ("Sec-Fetch-Site", "cross-site")], "POST", 403),
    ("127.0.0.1:8080", [("Content-Type", "text/plain")], "POST", 415),  # what a form of another site can send
]

# On 0.0.0.0 with a token.
OPEN_CASES: list[tuple[str | None, Fields, str, int]] = [
    ("192.168.1.5:8080", [BEARER], "GET", 200),
    ("[fe80::1]:8080", [BEARER], "GET", 200),
    ("jetson.local:8080", [BEARER], "GET", 200),
    ("Jetson.Local", [BEARER], "GET", 200),
    ("127.0.0.1:8080", [BEARER], "GET", 200),
    ("evil.example:8080", [BEARER], "GET", 421),
    ("192.168.1.5:8080", [], "GET", 401),
    ("127.0.0.1:8080", [], "GET", 401),
    ("192.168.1.5:8080", [("Authorization", "Bearer wrong-token-altogether")], "GET", 401),
    ("192.168.1.5:8080", [("Authorization", f"Bearer {TOKEN[:-1]}")], "GET", 401),
    ("192.168.1.5:8080", [("Authorization", f"Bearer {TOKEN}x")], "GET", 401),
    ("192.168.1.5:8080", [("Authorization", "Bearer ")], "GET", 401),
    ("192.168.1.5:8080", [("Authorization", "Bearer \xff\xfe")], "GET", 401),
    ("192.168.1.5:8080", [("Authorization", f"Basic {TOKEN}")], "GET", 401),
    ("192.168.1.5:8080", [("Authorization", f"bearer  {TOKEN}")], "GET", 200),
    ("192.168.1.5:8080", [COOKIE_OF_OPEN], "GET", 200),
    ("192.168.1.5:8080", [("Cookie", f"{COOKIE}={TOKEN}")], "GET", 401),  # the cookie is not the token
    ("192.168.1.5:8080", [("Cookie", f"{COOKIE}={Access('0.0.0.0', TOKEN + 'x').cookie()}")], "GET", 401),
    ("192.168.1.5:8080", [("Cookie", f'{COOKIE}="; \x01=;;')], "GET", 401),
    ("192.168.1.5:8080", [COOKIE_OF_OPEN, JSON, ("Origin", "http://192.168.1.5:8080")], "POST", 204),
    ("192.168.1.5:8080", [COOKIE_OF_OPEN, JSON, ("Origin", "http://evil.example")], "POST", 403),
    ("192.168.1.5:8080", [BEARER, JSON], "POST", 204),
    ("192.168.1.5:8080", [JSON, ("Origin", "http://192.168.1.5:8080")], "POST", 401),
    ("evil.example", [COOKIE_OF_OPEN, JSON, ("Origin", "http://evil.example")], "POST", 421),
]


def request_status(app: Any, host: str | None, fields: Fields, method: str) -> int:
    path = "/api/state" if method == "GET" else "/api/control"
    named = [] if host is None else [("Host", host)]
    return ask(app, path, method=method, headers=[*named, *fields], body=b'{"paused": true}').status


@pytest.mark.parametrize(("host", "fields", "method", "status"), LOCAL_CASES)
def test_on_a_loopback_address(application: Any, host: str | None, fields: Fields, method: str, status: int) -> None:
    assert request_status(application(LOCAL), host, fields, method) == status


@pytest.mark.parametrize(("host", "fields", "method", "status"), OPEN_CASES)
def test_on_an_open_address(application: Any, host: str | None, fields: Fields, method: str, status: int) -> None:
    assert request_status(application(OPEN), host, fields, method) == status


PATHS = [
    "/",
    "/app.js",
    "/stream.mjpg",
    "/api/pictures",
    "/api/state",
    "/snapshot.png",
    "/metrics",
    "/health",
    "/nothing",
]


@pytest.mark.parametrize("path", PATHS)
def test_nothing_is_shown_without_the_token_also_on_a_loopback_address(application: Any, path: str) -> None:
    answer = ask(application(LOCAL_WITH_TOKEN), path, headers=[("Host", "localhost")])
    assert (answer.status, answer.headers["www-authenticate"]) == (401, 'Bearer realm="edgeseg"')


@pytest.mark.parametrize("path", ["/", "/style.css", "/api/state", "/nothing", "/metrics"])
@pytest.mark.parametrize("fields", [[], [("Origin", "http://evil.example")], [("Host", "evil.example")]])
def test_every_answer_has_the_security_headers(application: Any, path: str, fields: Fields) -> None:
    answer = ask(application(LOCAL), path, headers=[("Host", "localhost"), *fields])
    assert {name: answer.headers.get(name) for name in guard.SECURITY_HEADERS} == guard.SECURITY_HEADERS
    assert "access-control-allow-origin" not in answer.headers
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    assert "http" not in policy


def test_the_token_in_the_address_becomes_a_cookie_and_leaves_the_address(application: Any) -> None:
    app, host = application(OPEN), ("Host", "192.168.1.5:8080")
    entered = ask(app, f"/?token={TOKEN}", headers=[host])
    cookie = entered.headers["set-cookie"]
    assert entered.status == 200
    assert {"httponly", "samesite=strict", "path=/"} <= set(cookie.lower().split("; "))
    assert TOKEN not in cookie
    assert TOKEN not in entered.body.decode()
    assert b'http-equiv="refresh" content="0;url=/"' in entered.body
    shown = ask(app, "/", headers=[host, ("Cookie", cookie.split(";")[0])])
    assert (shown.status, shown.headers["content-type"]) == (200, "text/html; charset=utf-8")


@pytest.mark.parametrize("query", ["token=", "token=wrong", f"token={TOKEN}&token={TOKEN}", "token=%00", "token=%ff"])
def test_a_wrong_token_in_the_address_asks_for_the_right_one(application: Any, query: str) -> None:
    answer = ask(application(OPEN), f"/?{query}", headers=[("Host", "10.0.0.1"), ("Accept", "text/html,*/*")])
    assert (answer.status, "set-cookie" in answer.headers) == (401, False)
    assert b'<input name="token" type="password"' in answer.body


def test_the_token_in_any_other_address_is_not_taken(application: Any) -> None:
    assert ask(application(OPEN), f"/api/state?token={TOKEN}", headers=[("Host", "10.0.0.1")]).status == 401


def test_a_link_from_another_site_opens_the_page_but_nothing_else(application: Any) -> None:
    navigation = [("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "document")]
    framed = [*navigation[:2], ("Sec-Fetch-Dest", "iframe")]
    app, host = application(LOCAL), ("Host", "localhost")
    assert ask(app, "/", headers=[host, *navigation]).status == 200
    assert ask(app, "/", headers=[host, *framed]).status == 403
    assert ask(app, "/snapshot.png", headers=[host, *navigation]).status == 403


def test_wrong_tokens_are_held_back_and_more_of_them_at_a_time_are_not_looked_at(
    application: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "_WRONG_TOKEN_S", 0.2)
    app, host = application(OPEN), ("Host", "10.0.0.1")
    compared: list[str] = []
    knows = Access.knows
    monkeypatch.setattr(Access, "knows", lambda self, token: compared.append(token) or knows(self, token))  # type: ignore[func-returns-value]

    async def attack() -> list[int]:
        guesses = [
            asked(app, "/api/state", headers=[host, ("Authorization", f"Bearer guess-{index}")]) for index in range(12)
        ]
        watching = asked(app, "/api/state", headers=[host, COOKIE_OF_OPEN])
        return [answer.status for answer in await asyncio.gather(*guesses, watching)]

    began = time.monotonic()
    statuses = asyncio.run(attack())
    assert time.monotonic() - began >= 0.2
    assert statuses == [401] * 4 + [429] * 8 + [200]
    assert compared == [f"guess-{index}" for index in range(4)]


@pytest.mark.parametrize(
    "token", ["short", "x" * 11, "with a blank in it", "umlaut-ä-in-the-token", "semi;colon;token"]
)
def test_a_token_that_could_be_guessed_or_torn_is_refused(token: str) -> None:
    with pytest.raises(ConfigError, match="12 or more characters") as refusal:
        Access("127.0.0.1", token)
    assert token not in str(refusal.value)


def test_an_open_address_without_a_token_is_refused() -> None:
    for host in ("0.0.0.0", "192.168.1.5", "::", "jetson.local"):
        with pytest.raises(ConfigError, match="--token"):
            Access(host)
    for host in ("127.0.0.1", "localhost", "::1"):
        assert Access(host).token is None


def test_host_names() -> None:
    assert [host_name(text) for text in ("A.b:1", "[2001:DB8::1]:65535", "[12]", "a:65536", "a b")] == [
        "a.b",
        "2001:db8::1",
        None,
        None,
        None,
    ]
    assert same_origin("https://a:443", "a")
    assert not same_origin("http://a:443", "a")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"paused": true}', 204),
        (b'{"mode": "outline", "classes": ["road", "pedestrian"]}', 204),
        (b'{"classes": null}', 204),
        (b'{"classes": []}', 204),
        (b'{"classes": ["dragon"]}', 400),
        (b'{"classes": "road"}', 400),
        (b'{"classes": [1]}', 400),
        (b'{"mode": "x-ray"}', 400),
        (b'{"mode": null}', 400),
        (b'{"paused": 1}', 400),
        (b'{"stopped": true}', 400),
        (b"{}", 400),
        (b"[]", 400),
        (b"", 400),
        (b"\xff", 400),
        (b"[" * 4000, 400),
        (b" " * 5000, 413),
    ],
)
def test_wishes_are_checked(application: Any, body: bytes, status: int) -> None:
    answer = ask(application(LOCAL), "/api/control", method="POST", headers=[("Host", "localhost"), JSON], body=body)
    assert answer.status == status
    if status == 400:
        assert re.fullmatch(rb"[^\n]+\n", answer.body)


@pytest.mark.parametrize(("method", "path"), [("GET", "/api/control"), ("POST", "/api/pictures"), ("DELETE", "/")])
def test_other_methods_are_refused(application: Any, method: str, path: str) -> None:
    assert ask(application(LOCAL), path, method=method, headers=[("Host", "localhost"), JSON]).status == 405
