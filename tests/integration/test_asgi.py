"""A whole web application behind one function: requests reach it, and answers the client, whole."""

import hashlib
import socket
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.integration.basic_app import MESSAGING, BasicApp, running_app
from tests.integration.conftest import exported
from tests.integration.messaging_topology import MESSAGING_TOPOLOGY


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BasicApp]:
    folder = tmp_path_factory.mktemp("web")
    with running_app(MESSAGING, folder, topology=MESSAGING_TOPOLOGY) as app, exported(app.azure):
        yield app


def told(app: BasicApp, method: str, path: str, **options: Any) -> dict[str, Any]:
    """What the web application was asked by such a request."""
    answer = app.request(method, path, **options)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_every_method_reaches_the_application(web: BasicApp, method: str) -> None:
    seen = told(web, method, "/api/v1/things/7")
    assert seen["method"] == method
    assert seen["path"] == "/api/v1/things/7"
    assert seen["length"] == 0


def test_head_has_the_headers_and_no_body(web: BasicApp) -> None:
    answer = web.request("HEAD", "/api/v1/things")
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["x-method"] == "HEAD"


def test_head_goes_to_no_function_that_asked_for_get(web: BasicApp) -> None:
    assert web.request("GET", "/api/open").text == "come in"
    assert web.request("HEAD", "/api/open").headers["x-method"] == "HEAD"
    assert told(web, "POST", "/api/open")["method"] == "POST"


def test_a_slash_at_the_end_makes_no_difference_to_a_route(web: BasicApp) -> None:
    assert web.request("GET", "/api/open/").text == "come in"


def test_the_query_arrives_as_it_was_written(web: BasicApp) -> None:
    seen = told(web, "GET", "/api/q?a=1&a=2&b=%26%3D&empty=&c=x+y&%C3%A4=%C3%B6")
    assert seen["query"] == [
        ["a", "1"],
        ["a", "2"],
        ["b", "&="],
        ["empty", ""],
        ["c", "x y"],
        ["ä", "ö"],
    ]


@pytest.mark.parametrize(
    ("path", "seen_as"),
    [
        ("/api", "/api"),
        ("/api/", "/api/"),
        ("/api/a/b/", "/api/a/b/"),
        ("/api/J%C3%B6rg%20x", "/api/Jörg x"),
        ("/api/what%3Fnot", "/api/what?not"),
        ("/api/100%25", "/api/100%"),
    ],
)
def test_paths_arrive_as_they_were_written(web: BasicApp, path: str, seen_as: str) -> None:
    seen = told(web, "GET", path + "?x=1")
    assert seen["path"] == seen_as
    assert seen["query"] == [["x", "1"]]


def test_headers_arrive_and_repeated_ones_are_joined(web: BasicApp) -> None:
    headers = [("X-One", "1"), ("X-Many", "a"), ("X-Many", "b"), ("Idempotency-Key", "K-1")]
    seen = told(web, "GET", "/api/h", headers=headers)["headers"]
    assert (seen["x-one"], seen["x-many"], seen["idempotency-key"]) == ("1", "a,b", "K-1")


def test_a_json_body_arrives(web: BasicApp) -> None:
    sent = {"name": "Jörg", "zero": 0, "none": None, "list": [1, "2"]}
    assert told(web, "POST", "/api/j", json=sent)["json"] == sent


@pytest.mark.parametrize("content_type", ["application/octet-stream", "text/plain", "image/png"])
def test_a_binary_body_of_a_megabyte_goes_there_and_back(web: BasicApp, content_type: str) -> None:
    body = bytes(range(256)) * 4096
    headers = {"content-type": content_type}
    seen = told(web, "PUT", "/api/b", content=body, headers=headers)
    assert (seen["length"], seen["digest"]) == (len(body), hashlib.sha256(body).hexdigest())
    answer = web.request("POST", "/api/echo", content=body, headers=headers)
    assert answer.content == body
    assert answer.headers["content-type"].startswith(content_type)


def test_a_body_in_chunks_arrives_whole(web: BasicApp) -> None:
    answer = web.request("POST", "/api/echo", content=iter([b"one ", b"two"]))
    assert answer.content == b"one two"


@pytest.mark.parametrize("code", [200, 201, 202, 204, 304, 400, 404, 409, 412, 418, 422, 429, 503])
def test_status_codes_come_back(web: BasicApp, code: int) -> None:
    answer = web.request("GET", f"/api/status/{code}")
    assert (answer.status_code, answer.content) == (code, b"")


def test_headers_come_back(web: BasicApp) -> None:
    answer = web.request("POST", "/api/x?status=201", content=b"123")
    assert (answer.status_code, answer.headers["x-length"]) == (201, "3")
    assert answer.headers["content-type"] == "application/json"


def test_cookies_come_back(web: BasicApp) -> None:
    answer = web.request("GET", "/api/cookies")
    assert sorted(answer.headers.get_list("set-cookie"))[0].startswith("one=1")
    assert dict(answer.cookies) == {"one": "1", "two": "2"}


def test_an_application_that_crashes_is_a_500(web: BasicApp) -> None:
    assert web.request("GET", "/api/crash").status_code == 500
    assert web.request("GET", "/api/still-there").status_code == 200


def test_under_its_own_host_name_the_application_sees_https(web: BasicApp) -> None:
    host = web.azure.topology.function_app_host
    seen = requests.get(f"https://{host}/api/v1/x%20y?a=1&a=2", timeout=10).json()
    assert (seen["scheme"], seen["host"], seen["path"]) == ("https", host, "/api/v1/x y")
    body = b"\x00\xff" * 500_000
    answer = requests.post(f"https://{host}/api/echo", data=body, timeout=30)
    assert answer.content == body


def answer_to(app: BasicApp, *parts: bytes) -> bytes:
    """The first line of the answer to a request that is written by hand and never finished."""
    host, port = app.functions.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        for part in parts:
            connection.sendall(part)
        return connection.makefile("rb").readline()


def test_a_body_over_100_mb_is_refused_before_it_is_sent(web: BasicApp) -> None:
    head = b"POST /api/echo HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
    assert b" 413 " in answer_to(web, head % 104_857_601)


def test_a_body_in_chunks_is_refused_once_it_is_over_100_mb(web: BasicApp) -> None:
    head = b"POST /api/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    mebibyte = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
    assert b" 413 " in answer_to(web, head, *[mebibyte] * 100, b"1\r\nx\r\n")
