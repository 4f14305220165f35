"""The API's client: where it is, its key, and what its errors mean for a person."""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import quote, urlsplit

import click
import httpx

from cli.output import UNAVAILABLE, WRONG, CommandFailed
from cli.text import Json

#: Seconds. A cold start of the function app takes its time.
_TIMEOUT = httpx.Timeout(90, connect=10)

#: Answers that say: later.
_LATER = frozenset({408, 425, 429})


@dataclass(frozen=True)
class Surroundings:
    """What the command finds outside of itself; tests bring their own."""

    #: How requests are sent; over the network when left out.
    transport: httpx.BaseTransport | None = None
    #: Waits for so many seconds between two looks at a run.
    pause: Callable[[float], None] = time.sleep

    def api(self) -> "Api":
        """Open as long as the command runs.

        Raises CommandFailed when the settings do not say where it is.
        """
        api = Api.from_environment(os.environ, self.transport)
        click.get_current_context().call_on_close(api.close)
        return api


pass_surroundings = click.make_pass_decorator(Surroundings, ensure=True)


class Api:
    """Signalbox's HTTP API. Every method raises CommandFailed with the cause and its remedy."""

    def __init__(self, url: str, key: str, transport: httpx.BaseTransport | None = None) -> None:
        self.url = url
        self._client = httpx.Client(
            base_url=f"{url}/api/",
            headers={"x-functions-key": key, "accept": "application/json"},
            timeout=_TIMEOUT,
            transport=transport,
        )

    @classmethod
    def from_environment(
        cls, environment: Mapping[str, str], transport: httpx.BaseTransport | None = None
    ) -> Self:
        url = environment.get("SIGNALBOX_URL", "").strip().rstrip("/").removesuffix("/api")
        key = environment.get("SIGNALBOX_KEY", "").strip()
        missing = [
            f"{name} ({meaning})"
            for name, meaning, value in (
                ("SIGNALBOX_URL", "the function app, https://<name>.azurewebsites.net", url),
                ("SIGNALBOX_KEY", "one of its keys", key),
            )
            if not value
        ]
        if missing:
            raise CommandFailed(
                f"Set {' and '.join(missing)} in this shell. For the local Azure that `make run` "
                "starts, `. .local/env` does so.",
                WRONG,
            )
        parts = urlsplit(url)
        if parts.scheme != "https" and not (parts.scheme == "http" and _is_here(parts.hostname)):
            raise CommandFailed(
                "SIGNALBOX_URL must begin with https://, so that nobody on the way reads the key.",
                WRONG,
            )
        if not (key.isascii() and key.isprintable()):
            raise CommandFailed("SIGNALBOX_KEY has characters that no key has.", WRONG)
        return cls(url, key, transport)

    def close(self) -> None:
        self._client.close()

    def get(
        self,
        *place: str,
        parameters: Mapping[str, str | int | None] | None = None,
        also: frozenset[int] = frozenset(),
    ) -> Json:
        """What is at a place. Parameters that are None are left out; `also` are no errors."""
        given = {name: value for name, value in (parameters or {}).items() if value is not None}
        return self._ask("GET", place, also=also, params=given)

    def post(self, *place: str, headers: Mapping[str, str] | None = None, **body: Any) -> Json:
        """`body` is httpx's `json` or `content`."""
        return self._ask("POST", place, headers=headers, **body)

    def _ask(
        self, method: str, place: tuple[str, ...], also: frozenset[int] = frozenset(), **rest: Any
    ) -> Json:
        path = "/".join(quote(part, safe="") for part in place)
        try:
            response = self._client.request(method, path, **rest)
        except httpx.TimeoutException:
            raise CommandFailed(
                f"{self.url} took too long to answer. Try again in a minute.", UNAVAILABLE
            ) from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise CommandFailed(
                f"Could not connect to {self.url}: {error}. Is SIGNALBOX_URL right, and does the "
                "function app (or `make run`) run?",
                UNAVAILABLE,
            ) from None
        if not response.is_success and response.status_code not in also:
            raise self._refused(response)
        answer = _object(response)
        if answer is None:
            raise CommandFailed(
                f"{self.url} answered something that is not Signalbox's. Is SIGNALBOX_URL right?",
                UNAVAILABLE,
            )
        return answer

    def _refused(self, response: httpx.Response) -> CommandFailed:
        """An error answer as words, with each place that is wrong."""
        status, problem = response.status_code, _object(response) or {}
        said = problem.get("detail") or problem.get("title")
        if status in (401, 403):
            said = f"{said or f'{self.url} answered {status}.'} Check SIGNALBOX_KEY."
        elif not said:
            said = f"{self.url} answered {status}"
            said += ". Is SIGNALBOX_URL right?" if status < 500 else "; try again in a minute."
        if instance := problem.get("instance"):
            said = f"{said} ({instance})"
        errors = problem.get("errors")
        places = [
            f"  {error.get('place')}: {error.get('message')}"
            for error in (errors if isinstance(errors, list) else [])
            if isinstance(error, dict)
        ]
        wrong = 300 <= status < 500 and status not in _LATER
        return CommandFailed("\n".join([str(said), *places]), WRONG if wrong else UNAVAILABLE)


def _object(response: httpx.Response) -> Json | None:
    try:
        found = response.json()
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _is_here(host: str | None) -> bool:
    return host in ("127.0.0.1", "localhost", "::1")
