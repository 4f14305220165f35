"""From an upload, or many, to what became of it."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.e2e.running_signalbox import APP, BETWEEN_TICKS, Json, RunningSignalbox, subject_of
from tests.integration.waiting import eventually

DAY_REPORT = APP / "examples" / "day-report"
RETRAINING = APP / "examples" / "nightly-retraining"


def test_an_upload_becomes_a_completed_run(signalbox: RunningSignalbox, tmp_path: Path) -> None:
    path = "letters/aix/first.txt"
    etag = signalbox.upload(path, "Dear Signalbox")
    record = signalbox.record(path, "completed", ticking=True)

    assert record["trigger"] == "letter-came"
    assert record["event"]["data"]["eTag"] == etag
    states = [transition["state"] for transition in record["transitions"]]
    assert states[:2] == ["submitting", "submitted"]
    assert states[-1] == "completed"
    assert set(states[2:-1]) <= {"running"}
    times = [transition["at"] for transition in record["transitions"]]
    assert times == sorted(times)
    assert signalbox.markers("letter-came") == set()
    tags = signalbox.state.get_blob_client(
        f"ledger/letter-came/{record['key']}.json"
    ).get_blob_tags()
    assert tags == {"state": "final"}

    run = f"letter-came.{record['key']}"
    (entry,) = signalbox.history(path)
    assert entry["decision"] == "completed"
    assert entry["run"] == run
    assert entry["job"] == record["attempts"][0]["job_name"]

    (job,) = signalbox.jobs(path)
    assert job.name == record["attempts"][0]["job_name"]
    assert job.experiment_name == "answers-aix"
    assert job.tags == {
        "sender": "post of aix",
        "signalbox_deployment": "local",
        "signalbox_trigger": "letter-came",
        "signalbox_run": run,
        "signalbox_pipeline": record["pipeline"],
        "signalbox_event_id": record["event"]["id"],
        "signalbox_event_source": signalbox.azure.topology.account_id("contosolake"),
        "signalbox_event_subject": subject_of(path),
        # The host gives each call a trace.
        "signalbox_traceparent": record["traceparent"],
    }

    signalbox.ml.jobs.download(job.name, download_path=tmp_path, output_name="answer")
    answer = json.loads((tmp_path / "named-outputs" / "answer" / "answer.json").read_text())
    assert answer == {
        "letter": "Dear Signalbox",
        "town": "aix",
        "copies": "0",
        "urgent": "False",
        "weight": "0.5",
        "closing": "yours",
    }


def test_uploading_a_path_again_is_another_run(signalbox: RunningSignalbox) -> None:
    path = "letters/bonn/again.txt"
    first = signalbox.upload(path, "same content")
    signalbox.delivered(path)
    second = signalbox.upload(path, "same content")
    assert first != second
    signalbox.delivered(path, count=2)
    records = signalbox.records(path)
    assert {r["event"]["data"]["eTag"] for r in records} == {first, second}
    assert len({r["attempts"][0]["job_name"] for r in records}) == 2
    assert len(signalbox.jobs(path)) == 2


def test_a_run_says_which_step_failed_and_what_it_printed(signalbox: RunningSignalbox) -> None:
    path = "stones/wet.txt"
    signalbox.upload(path, "slippery\n")
    record = signalbox.record(path, "failed", ticking=True)
    job = record["attempts"][0]["job_name"]
    (step,) = record["failed_steps"]
    assert step["step"] == "leap"
    assert "slippery\nends with 3" in step["log_tail"]
    assert record["reason"]["code"] == "job_failed"
    assert record["reason"]["text"] == f"AzureML job {job} failed in leap: ends with 3"
    (entry,) = signalbox.history(path)
    assert entry["decision"] == "failed"
    assert entry["reason"] == record["reason"]
    assert record["key"] not in signalbox.markers("stone-found")
    assert f"AzureML job {job} failed in leap: ends with 3" in signalbox.log()


def test_an_event_that_cannot_be_bound_is_a_dead_letter(signalbox: RunningSignalbox) -> None:
    path = "blanks/form.txt"
    signalbox.upload(path)
    record = signalbox.record(path, "dead_letter", ticking=True)
    assert record["reason"]["code"] == "input_missing"
    # everything that is missing, not only the first
    assert "event.data.town" in record["reason"]["text"]
    assert "event.data.copies" in record["reason"]["text"]
    assert record["attempts"] == []
    signalbox.delivered(path)
    (entry,) = signalbox.history(path)
    assert entry["decision"] == "dead_letter"
    assert entry["reason"]["code"] == "input_missing"
    assert signalbox.markers("blank-came") == set()
    assert signalbox.jobs(path) == []


def test_a_paused_trigger_is_held_swept_resumed_and_what_was_dead_is_run_once_more(
    signalbox: RunningSignalbox,
) -> None:
    path, run = "blanks/letter.txt", signalbox.command
    assert run("triggers", "pause", "blank-came", "--note", "no forms")["paused"]["by"] == "key"
    signalbox.upload(path)
    held = signalbox.record(path, "held")
    assert "(no forms); resume it with" in held["reason"]["text"]

    # What was uploaded just now is left to the sweeps that follow.
    report = run("triggers", "sweep", "blank-came", "--dry-run")["report"]
    assert (report["young"], report["found"], report["overwritten"]) == (report["listed"], 0, 0)
    assert report["listed"] >= 1

    assert run("triggers", "resume", "blank-came")["paused"] is None
    dead = signalbox.record(path, "dead_letter", ticking=True)
    replay = run(
        "replay", "--trigger", "blank-came", "--outcome", "dead_letter", "--limit", "1", "--yes"
    )

    def over() -> Json | None:
        signalbox.tick()
        found = run("replays", "show", replay["id"])
        return found if found["state"] == "done" else None

    found = eventually(over, every=BETWEEN_TICKS)
    assert found
    assert found["total"] == found["started"] == sum(found["ended"].values()) >= 1
    assert set(found["ended"]) == {"dead_letter"}
    again = [record for record in signalbox.records(path) if record["replay"] == replay["id"]]
    assert [record["replay_of"] for record in again] == [f"blank-came.{dead['key']}"]


def test_an_event_that_is_for_no_trigger_leaves_nothing(signalbox: RunningSignalbox) -> None:
    path = "attic/box.bin"
    before = signalbox.written()
    signalbox.upload(path)
    signalbox.delivered(path)
    assert signalbox.written() <= before
    assert f"landing/{path} starts nothing" in signalbox.log()


def test_a_near_miss_leaves_the_check_that_failed(signalbox: RunningSignalbox) -> None:
    path = "letters/without-town.txt"
    signalbox.upload(path)
    event = signalbox.delivered(path)
    (entry,) = signalbox.history(path)
    assert entry["decision"] == "no_match"
    assert entry["check"] == "path letters/{town}/{file}.txt"
    assert signalbox.records(path) == []
    assert entry["key"] not in signalbox.markers("letter-came")
    assert signalbox.jobs(path) == []

    # delivered again, the same entry is rewritten
    assert signalbox.post([event]).status_code == 202
    assert len(signalbox.history(path)) == 1


def test_forty_uploads_and_their_success_are_one_run(
    signalbox: RunningSignalbox, tmp_path: Path
) -> None:
    app, day, count = signalbox, "2026-03-14", 40
    published = app.publish(DAY_REPORT)
    assert published.returncode == 0, published.stderr

    def waiting() -> list[str]:
        return list(app.state.list_blob_names(name_starts_with="inbox/report-on-a-day/"))

    with ThreadPoolExecutor(4) as pool:
        shops = [f"shop-{number:02}" for number in range(count)]
        list(pool.map(lambda shop: app.upload(f"sales/{day}/{shop}.csv", "a,b\n"), shops))
    eventually(lambda: len(waiting()) == count, seconds=60)
    # Nothing has run meanwhile, also when the timer has looked.
    app.tick()
    assert not app.markers("report-on-a-day")
    app.upload(f"sales/{day}/_SUCCESS", "")

    def made() -> list[str]:
        return list(app.markers("report-on-a-day"))

    [key] = eventually(made, seconds=60)
    name = f"ledger/report-on-a-day/{key}.json"

    def over() -> bool:
        app.tick()
        record = app.read(name)
        assert record["state"] in ("submitting", "submitted", "running", "completed"), record
        return bool(record["state"] == "completed")

    eventually(over, seconds=120, every=BETWEEN_TICKS)
    record = app.read(name)
    assert record["event"]["subject"] == f"day={day}"
    assert len(record["members"]) == count + 1
    assert record["body"]["experiment_name"] == f"sales-{day}"
    app.ml.jobs.download(
        record["attempts"][-1]["job_name"], download_path=tmp_path, output_name="report"
    )
    [report] = tmp_path.rglob("report.json")
    assert json.loads(report.read_text()) == {
        "day": day,
        "files": count,
        "bytes": 4 * count,
        "shops": shops,
    }

    # Every event says which run took it, and none is in another.
    assert not waiting()
    records = [app.read(f"ledger/report-on-a-day/{member}.json") for member in record["members"]]
    assert {(each["state"], each["batch"]) for each in records} == {("batched", key)}
    assert len([*app.state.list_blob_names(name_starts_with="ledger/report-on-a-day/")]) == 42
    [job] = [job for job in app.ml.jobs.list() if job.tags.get("signalbox_run", "").endswith(key)]
    assert job.status == "Completed"


def test_times_that_have_come_are_written_down_by_one_tick_and_one_of_them_runs(
    signalbox: RunningSignalbox, tmp_path: Path
) -> None:
    for kind, text in (
        ("pipelines", (APP / "tests/e2e/sources/pipelines/note-down.yml").read_text()),
        (
            "triggers",
            "name: note-down\n"
            "spec: {schedule: {cron: '* * * * *'}}\n"
            "action: {pipeline: note-down, inputs: {text: '${{ window_start }}'}}\n",
        ),
    ):
        (tmp_path / kind).mkdir()
        (tmp_path / kind / "note-down.yml").write_text(text)
    signalbox.tick()
    published = signalbox.publish(tmp_path)
    assert published.returncode == 0, published.stderr
    # As if that had been three minutes ago, and no tick had come since.
    signalbox.put_back("index.json", "triggers", "note-down", "effective_from", "spec_since")
    signalbox.put_back("clock.json", "last_evaluated")
    signalbox.tick()

    names = list(signalbox.state.list_blob_names(name_starts_with="ledger/note-down/"))
    found = sorted((signalbox.read(name) for name in names), key=lambda each: each["event"]["time"])
    assert len(found) in (3, 4)
    first, *others = found
    assert {each["reason"]["code"] for each in others} == {"overlap_skipped"}
    assert [each["event"]["data"]["window_start"] for each in others] == [
        each["event"]["data"]["scheduled_time"] for each in found[:-1]
    ]
    signalbox.command("schedules", "pause", "note-down", "--note", "seen")

    def completed() -> Json | None:
        signalbox.tick()
        now = signalbox.read(f"ledger/note-down/{first['key']}.json")
        return now if now["state"] == "completed" else None

    done = eventually(completed, seconds=60, every=BETWEEN_TICKS)
    assert done is not None
    assert done["body"]["inputs"]["text"] == first["event"]["data"]["window_start"]
    told = signalbox.command("explain", "--trigger", "note-down")
    assert any("was skipped" in line for line in told["lines"])


def test_a_schedule_retrains_on_what_is_new_and_its_past_is_filled_in(
    signalbox: RunningSignalbox, tmp_path: Path
) -> None:
    published = signalbox.publish(RETRAINING)
    assert published.returncode == 0, published.stderr
    name = "retrain-nightly"
    [coming, *_] = signalbox.command("schedules", "next", name, "--count", "2")["items"]
    assert coming["local_time"].split("T")[1].startswith("02:00:00")
    signalbox.upload("labels/aix/monday.csv", "a,b\n")
    # What is written in the very second of a time is the next one's.
    blob = signalbox.landing.get_blob_client("labels/aix/monday.csv")
    written = blob.get_blob_properties().last_modified
    eventually(lambda: datetime.now(UTC) >= written + timedelta(seconds=1))
    run = signalbox.command("schedules", "trigger", name)["run"]

    def over() -> Json | None:
        signalbox.tick()
        found = signalbox.command("runs", "show", run["id"])
        assert found["state"] in ("submitting", "submitted", "running", "completed"), found
        return found if found["state"] == "completed" else None

    found = eventually(over, seconds=120, every=BETWEEN_TICKS)
    assert found
    signalbox.ml.jobs.download(found["job"], download_path=tmp_path, output_name="model")
    model = json.loads((tmp_path / "named-outputs" / "model" / "model.json").read_text())
    assert model["files"] == [
        "https://contosolake.blob.core.windows.net/landing/labels/aix/monday.csv"
    ]
    assert model["window"][1] == found["event"]["data"]["scheduled_time"]

    since = (datetime.now(UTC) - timedelta(days=2)).isoformat()
    outlook = signalbox.command("backfill", name, "--since", since, "--dry-run")
    begun = signalbox.command("backfill", name, "--since", since, "--yes", "--limit", "2")
    assert begun["total"] == outlook["total"] == 2

    def filled() -> Json | None:
        signalbox.tick()
        replay = signalbox.command("replays", "show", begun["id"])
        return replay if replay["state"] == "done" else None

    # Nothing was uploaded in those nights.
    replay = eventually(filled, seconds=60, every=BETWEEN_TICKS)
    assert replay
    assert replay["ended"] == {"skipped": 2}
    first = outlook["items"][0]["scheduled_time"]
    told = signalbox.command("explain", "--schedule", name, "--at", first)
    assert [item["reason"]["code"] for item in told["items"]] == ["no_new_blobs"]
