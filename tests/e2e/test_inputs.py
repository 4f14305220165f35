"""What a step receives of an event, and what nobody does; all of it as a service principal."""

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from azure.ai.ml.entities import Data
from azure.core.exceptions import ResourceNotFoundError
from azure.servicebus import ServiceBusClient, ServiceBusMessage

from emulator.stack import LocalAzure
from emulator.topology import Datastore, Topology, Workspace
from tests.e2e.running_signalbox import APP, BETWEEN_TICKS, Json, RunningSignalbox
from tests.integration.conftest import exported
from tests.integration.waiting import eventually
from tests.loopback import loopback

DEFINITIONS = Path(__file__).parent / "inputs"
PRINCIPAL = Topology().service_principal


class Inputs(RunningSignalbox):
    """Posts to triggers, and reads what steps said."""

    def call(self, trigger: str, data: object) -> Json:
        """The decision about what is posted to a trigger."""
        answer = self.api("POST", f"triggers/{trigger}/events", json=data)
        assert answer.status_code == 202, answer.text
        decision: Json = answer.json()["decisions"][0]
        return decision

    def api(self, method: str, path: str, **how: object) -> httpx.Response:
        headers = {"x-functions-key": self.functions.keys.host}
        url = f"{self.functions.url}/api/{path}"
        given: dict[str, object] = {"headers": headers, "timeout": 60, **how}
        return loopback.request(method, url, **given)  # type: ignore[arg-type]

    def ended(self, run: str) -> Json:
        """The record of a run, once it is final."""

        def look() -> Json | None:
            record = self.kept(run)
            state = record["transitions"][-1]["state"]
            if state in ("submitting", "submitted", "running"):
                self.tick()
                return None
            # Why a job failed is found after that it did.
            return record if state != "failed" or record["cause_sought"] else None

        record = eventually(look, seconds=60, every=BETWEEN_TICKS)
        assert record
        return record

    def kept(self, run: str) -> Json:
        return self.read(f"ledger/{run.replace('.', '/')}.json")

    def said(self, record: Json, folder: Path) -> str:
        """What the step of a completed run wrote."""
        assert record["state"] == "completed", record["reason"]
        job = record["attempts"][0]["job_name"]
        self.ml.jobs.download(job, download_path=folder, output_name="said")
        return (folder / "named-outputs" / "said" / "said.txt").read_text()


@pytest.fixture(scope="module")
def inputs() -> Iterator[Inputs]:
    lake = Datastore(name="lake", account="contosolake", container="landing")
    settings = {
        "SIGNALBOX_DATASTORES": "contosolake/landing=lake",
        "AZURE_CLIENT_ID": PRINCIPAL.client_id,
        "AZURE_CLIENT_SECRET": PRINCIPAL.secret,
    }
    topology = Topology(workspace=Workspace(datastores=(lake,)))
    with LocalAzure(APP, topology=topology, settings=settings) as azure, exported(azure):
        app = Inputs(azure)
        published = app.publish(DEFINITIONS)
        assert published.returncode == 0, published.stderr
        yield app


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (
            {"count": 0, "sure": False, "share": 0.0, "speed": "slow", "note": ""},
            "text=<> count=<0> sure=<False> share=<0.0> speed=<slow> ",
        ),
        (
            {"count": "3", "sure": "true", "share": 2, "speed": "fast", "note": "well"},
            "text=<> count=<3> sure=<True> share=<2> speed=<fast> note=<well>",
        ),
        (
            {"count": 1.0, "sure": False, "share": "0.5", "speed": "fast", "note": None},
            "text=<> count=<1> sure=<False> share=<0.5> speed=<fast> ",
        ),
    ],
    ids=["falsy", "text", "null"],
)
def test_a_step_receives_what_the_event_says(
    inputs: Inputs, tmp_path: Path, data: Json, said: str
) -> None:
    record = inputs.ended(inputs.call("show-call", data)["run"])
    received = inputs.said(record, tmp_path)
    print(f"bound {record['body']['inputs']}\nreceived {received}", end="")

    assert received == f"{said}\n"
    assert ("note" in record["body"]["inputs"]) == bool(data["note"])


def test_what_the_pipeline_does_not_take_is_told_with_what_it_takes(inputs: Inputs) -> None:
    data = {"count": 10, "sure": "perhaps", "share": 1, "speed": "warm"}
    run = inputs.kept(inputs.call("show-call", data)["run"])

    assert run["state"] == "dead_letter"
    for told in (
        "inputs.count: 10 is more than 9",
        "inputs.speed: 'warm' is not one of fast, slow",
        "inputs.sure: 'perhaps' is not of type boolean",
    ):
        assert told in run["reason"]["text"]


def test_an_upload_is_read_through_the_datastore_that_covers_it(
    inputs: Inputs, tmp_path: Path
) -> None:
    path = "shown/ä letter.txt"
    inputs.upload(path, "Dear lake")
    record = inputs.record(path, "completed", ticking=True)

    assert record["body"]["inputs"]["letter"]["path"] == f"azureml://datastores/lake/paths/{path}"
    assert inputs.said(record, tmp_path).endswith("Dear lake")


def test_the_latest_data_is_looked_up_once_whatever_fails(inputs: Inputs, tmp_path: Path) -> None:
    def register(version: str) -> None:
        address = f"{inputs.azure.topology.account('contosolake').url}/landing/prices/{version}.csv"
        inputs.upload(f"prices/{version}.csv", f"prices of {version}")
        inputs.ml.data.create_or_update(
            Data(name="prices", version=version, type="uri_file", path=address)
        )

    register("1")
    with inputs.fault({"status": 503}, method="GET", path_contains="/data/prices") as met:
        run = inputs.call("show-latest", {"table": "prices"})["run"]
        assert met() == 1
    record = inputs.kept(run)
    assert record["state"] == "submitting"
    assert record["body"]["inputs"]["table"]["path"] == "azureml:prices@latest"

    register("2")
    inputs.clear_requests()
    inputs.age(record)
    with inputs.fault({"status": 503}) as met:
        inputs.tick()
        assert met() == 1
    record = inputs.kept(run)
    assert record["state"] == "submitting"
    assert record["body"]["inputs"]["table"]["path"] == "azureml:prices:2"

    register("3")
    inputs.age(record)
    record = inputs.ended(run)
    assert record["body"]["inputs"]["table"]["path"] == "azureml:prices:2"
    assert inputs.said(record, tmp_path).endswith("prices of 2")

    missing = inputs.ended(inputs.call("show-latest", {"table": "nothing"})["run"])
    assert missing["state"] == "dead_letter"
    assert missing["reason"]["code"] == "data_missing"
    assert "no data named 'nothing'" in missing["reason"]["text"]


def test_a_retry_goes_on_where_the_run_failed(inputs: Inputs) -> None:
    inputs.upload("checked/letter.txt", "not yet")
    account = inputs.azure.topology.account("contosolake")
    given = {"letter": f"{account.url}/landing/checked/letter.txt", "stamp": "first"}
    asked = inputs.api("POST", "pipelines/check/runs", json={"inputs": given})
    first = asked.json()["id"]
    record = inputs.ended(first)
    assert record["state"] == "failed"
    assert record["failed_steps"][0]["step"] == "check"
    assert _steps(inputs, first) == {"prepare": ("Completed", False), "check": ("Failed", False)}

    inputs.upload("checked/letter.txt", "good")
    again = inputs.api("POST", f"runs/{first}/retry").json()["id"]
    assert inputs.ended(again)["state"] == "completed"
    assert _steps(inputs, again) == {"prepare": ("Completed", True), "check": ("Completed", False)}
    detail = inputs.api("GET", f"runs/{again}").json()
    assert detail["force_rerun"] is None
    assert detail["replay_of"] == first
    job = inputs.ml.jobs.get(detail["job"])
    assert job.tags["signalbox_replay_of"] == first
    assert job.display_name.startswith("Check a letter: ")

    forced = {"inputs": given, "force_rerun": True}
    run = inputs.api("POST", "pipelines/check/runs", json=forced).json()["id"]
    assert inputs.ended(run)["state"] == "completed"
    assert _steps(inputs, run) == {"prepare": ("Completed", False), "check": ("Completed", False)}
    assert inputs.api("GET", f"runs/{run}").json()["force_rerun"] is True


def _steps(inputs: Inputs, run: str) -> dict[str, tuple[str, bool]]:
    steps = inputs.api("GET", f"runs/{run}").json()["steps"]
    return {step["name"]: (step["status"], step["reused"]) for step in steps}


SIGNED = "https://contosolake.blob.core.windows.net/landing/a.csv?sv=1&sig=c2lnbmVkc2lnbmVk%3D"
PLANTED = {
    "signature": (SIGNED, "c2lnbmVkc2lnbmVk"),
    "account key": ("AccountKey=YWNjb3VudGFjY291bnQ=;", "YWNjb3VudGFjY291bnQ"),
    "connection": (
        "Endpoint=sb://x/;SharedAccessKeyName=n;SharedAccessKey=Y29ubmVjdGNvbm5lY3Q=",
        "Y29ubmVjdGNvbm5lY3Q",
    ),
    "bearer": ("Authorization: Bearer YmVhcmVyYmVhcmVyYmVhcmVy", "YmVhcmVyYmVhcmVy"),
    "token": ("eyJhbGciOiJIUzI1.eyJzdWIiOiIxMjM0.dG9rZW50b2tlbg", "dG9rZW50b2tlbg"),
}


def test_no_secret_is_told_or_kept_anywhere(inputs: Inputs, tmp_path: Path) -> None:
    """Whatever comes in, whatever is published, and whatever fails."""
    answers, runs = [], []
    (tmp_path / "pipelines").mkdir()
    planted = (DEFINITIONS / "pipelines" / "leak.yml").read_text()
    for number, (text, _) in enumerate(PLANTED.values()):
        file = tmp_path / "pipelines" / f"planted-{number}.yml"
        file.write_text(planted.replace("word: nothing", f"word: {json.dumps(text)}"))
    refused = inputs.publish(tmp_path)
    assert refused.returncode == 1
    assert refused.stderr.count("holds a secret") == len(PLANTED)
    for text, _ in PLANTED.values():
        # Bound, beside what is bound, as an attribute, in a tag, and as what is no event at all.
        data = {"note": text, "count": text, "sure": True, "share": 1, "speed": text}
        runs.append(inputs.call("show-call", data)["run"])
        runs.append(inputs.call("show-latest", {"table": text, text: [text]})["run"])
        asked = {"inputs": {"word": "x"}, "tags": {text: text}, "experiment_name": text}
        answers.append(inputs.api("POST", "pipelines/leak/runs", json=asked))
        answers.append(inputs.api("POST", "pipelines/leak/runs", json={"inputs": {text: text}}))
        event = {"specversion": "1.0", "id": text, "source": text, "type": "x", "subject": text}
        answers.append(inputs.api("POST", "events", json={**event, "data": {"AccountKey": text}}))
        answers.append(inputs.api("POST", "events", json={"specversion": "1.0", "type": text}))
        answers.append(inputs.api("POST", "triggers/show-call/test", json={"data": data}))
        answers.append(inputs.api("GET", "pipelines", params={"cursor": text}))
    blob = {
        "id": "1",
        "topic": "/t",
        "eventType": "Microsoft.Storage.BlobCreated",
        "eventTime": "2026-11-22T08:00:00Z",
        "subject": "/blobServices/default/containers/landing/blobs/shown/signed.txt",
        "data": {"api": "PutBlob", "eTag": "0x1", "url": SIGNED},
    }
    inputs.post([blob])
    connection = inputs.azure.environment["ServiceBusConnection"]
    with (
        ServiceBusClient.from_connection_string(connection) as client,
        client.get_queue_sender("signalbox-events") as sender,
    ):
        for number, (text, _) in enumerate(PLANTED.values()):
            said = {"word": f"leaks-{number}", "tag": text, "experiment": text}
            sender.send_messages(
                [
                    ServiceBusMessage(
                        json.dumps(said), message_id=text, application_properties={"p": text}
                    ),
                    ServiceBusMessage(json.dumps({"word": text})),
                    ServiceBusMessage(f"no JSON: {text}"),
                ]
            )
        leaks = eventually(lambda: _leaks(inputs, len(PLANTED)), seconds=60)
    with inputs.fault({"status": 500, "body": {"error": {"message": SIGNED}}}):
        answers.append(inputs.api("POST", "pipelines/leak/runs", json={}))
    with inputs.fault({"status": 400, "body": {"error": {"message": SIGNED, "code": "no"}}}):
        answers.append(inputs.api("POST", "pipelines/leak/runs", json={}))
    for run in leaks:
        failed = inputs.ended(run)
        assert failed["failed_steps"], failed["reason"]
        assert "[secret]" in failed["failed_steps"][0]["log_tail"]
    asked_for = [f"runs/{run}" for run in (*runs, *leaks)]
    asked_for += ["runs", "dead-letters", "explain?trigger=show-call", "health"]
    answers += [inputs.api("GET", path) for path in asked_for]

    places = {
        "command": refused.stdout + refused.stderr,
        "answers": "\n".join(f"{answer.headers} {answer.text}" for answer in answers),
        # The host's own lines name each message by the id that its sender gave it, as Azure's do.
        "log": "\n".join(line for line in inputs.log().splitlines() if " INFO Host " not in line),
        "jobs": "\n".join(
            f"{job.name} {job.display_name} {job.experiment_name} {job.tags} {job._to_dict()}"
            for job in inputs.ml.jobs.list()
        ),
        "outcomes": _outcomes(connection),
    }
    for blob_found in inputs.state.list_blobs(include=["metadata", "tags"]):
        about = f"{blob_found.name} {blob_found.metadata} {blob_found.tags}"
        content = ""
        # The timer closes markers meanwhile.
        with suppress(ResourceNotFoundError):
            content = inputs.state.download_blob(blob_found.name).readall().decode()
        places[blob_found.name] = f"{about} {content}"
    keys = inputs.functions.keys
    secrets = {
        **{name: token for name, (_, token) in PLANTED.items()},
        "printed by a step": "cHJpbnRlZHByaW50ZWQ7",
        "client secret": PRINCIPAL.secret,
        "identity header": inputs.azure.environment["IDENTITY_HEADER"],
        "function key": keys.host,
        "master key": keys.master,
        "event grid key": keys.event_grid,
    }
    assert len(places["outcomes"]) > 1_000
    assert len(places["jobs"]) > 1_000
    assert sum(name.startswith("ledger/") for name in places) > 20
    assert sum(name.startswith("history/") for name in places) > 20
    told = [
        (secret, place, said[max(said.index(text) - 200, 0) :][:400])
        for secret, text in secrets.items()
        for place, said in places.items()
        if text in said
    ]
    assert told == []


def _leaks(inputs: Inputs, count: int) -> list[str]:
    """Runs of messages whose word could be bound, once there are so many."""
    names = list(inputs.state.list_blob_names(name_starts_with="ledger/leak-message/"))
    found = [
        name.removeprefix("ledger/").removesuffix(".json").replace("/", ".")
        for name in names
        if inputs.read(name)["body"]
    ]
    return found if len(found) == count else []


def _outcomes(connection: str) -> str:
    with (
        ServiceBusClient.from_connection_string(connection) as client,
        client.get_subscription_receiver("signalbox-outcomes", "watch") as receiver,
    ):
        told = []
        while messages := receiver.receive_messages(100, max_wait_time=2):
            for message in messages:
                told.append(f"{message} {message.application_properties} {message.message_id}")
                receiver.complete_message(message)
        return "\n".join(told)
