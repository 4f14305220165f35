"""A small Signalbox API for the command's tests, and the command as a person runs it on it."""

import json
from collections.abc import Callable
from typing import Any

import httpx
from click.testing import CliRunner, Result

from cli.client import Surroundings
from cli.main import main

Json = dict[str, Any]

URL, KEY = "https://signalbox.example", "the-key"
ENVIRONMENT = {"SIGNALBOX_URL": URL, "SIGNALBOX_KEY": KEY, "COLUMNS": "80"}

RUN_ID = "retrain." + "0123456789abcdef" * 2


def run(state: str = "submitted", **more: Any) -> Json:
    """A run as the API shows it in a list."""
    return {
        "id": RUN_ID,
        "trigger": "retrain",
        "pipeline": "churn@16241775f2e0e725",
        "state": state,
        "reason": None,
        "job": "retrain-1-a1",
        "studio_url": "https://ml.azure.com/runs/retrain-1-a1",
        "event": {
            "id": "e-1",
            "source": "/accounts/lake",
            "type": "Microsoft.Storage.BlobCreated",
            "subject": "/blobServices/default/containers/landing/blobs/north/2026.csv",
            "time": "2026-03-01T12:00:00Z",
        },
        "created_at": "2026-03-01T12:00:05Z",
        "ended_at": None,
        "attempt": 1,
        "cancel_requested": False,
        "replay_of": None,
        "depth": 0,
        **more,
    }


def detail(state: str = "submitted", **more: Any) -> Json:
    """All that the API says of a run."""
    given: Json = {
        "inputs": {"rows": "https://lake.example/landing/north/2026.csv", "share": 0.5},
        "outputs": {},
        "experiment_name": "churn",
        "tags": {},
        "transitions": [{"state": "submitting", "at": "2026-03-01T12:00:05Z"}],
        "steps": [],
        "steps_error": None,
        "failed_steps": [],
        "waiting_for": None,
        **more,
    }
    return run(state, **given)


def problem(status: int, detail: str, *errors: tuple[str, str]) -> httpx.Response:
    """An error as the API tells it."""
    places = [{"place": place, "message": message} for place, message in errors]
    content = {"type": "about:blank", "title": "No", "status": status, "detail": detail}
    return httpx.Response(
        status,
        content=json.dumps(content | ({"errors": places} if places else {})),
        headers={"content-type": "application/problem+json"},
    )


Answer = Json | httpx.Response | Exception


class FakeApi:
    """Answers in turn what it was told to at a method and path; remembers what it was asked."""

    def __init__(self) -> None:
        self._answers: dict[str, list[Answer]] = {}
        self.requests: list[httpx.Request] = []
        #: Called between two looks at a run.
        self.between: Callable[[], None] = lambda: None
        #: Seconds that the command waited for.
        self.paused = 0.0

    def at(self, place: str, *answers: Answer) -> None:
        """`GET runs` and its answers; the last one holds from then on."""
        self._answers[place] = list(answers)

    def __call__(self, *words: str, input: str | None = None, **environment: str | None) -> Result:
        """Run the command."""
        transport = httpx.MockTransport(self._answer)
        return CliRunner().invoke(
            main,
            list(words),
            obj=Surroundings(transport=transport, pause=self._pause),
            env={**ENVIRONMENT, **environment},
            input=input,
        )

    @property
    def asked(self) -> list[str]:
        """Method, path and query of each request."""
        return [
            f"{r.method} {r.url.raw_path.decode().removeprefix('/api/')}" for r in self.requests
        ]

    @property
    def body(self) -> Any:
        """What was sent last."""
        return json.loads(self.requests[-1].content)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        path = request.url.raw_path.decode().partition("?")[0].removeprefix("/api/")
        answers = self._answers.get(f"{request.method} {path}")
        if not answers:
            return problem(404, f"no {request.method} {path} here")
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, httpx.Response) else httpx.Response(200, json=answer)

    def _pause(self, seconds: float) -> None:
        self.paused += seconds
        self.between()
