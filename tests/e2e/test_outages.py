"""What breaks on the way: host, workspace, storage. One event is one job all the same."""

from tests.e2e.running_signalbox import RunningSignalbox
from tests.integration.waiting import eventually


def test_a_host_killed_between_record_and_put(signalbox: RunningSignalbox) -> None:
    path = "letters/dax/before-put.txt"
    signalbox.clear_requests()
    with signalbox.fault({"hold": True}) as met:
        signalbox.upload(path)
        eventually(lambda: met() == 1)
        signalbox.functions.kill()
    record = signalbox.record(path, "submitting")
    job = record["attempts"][0]["job_name"]
    assert signalbox.jobs(path) == []

    signalbox.functions.start()
    # Event Grid delivers again, but the lease holds: a slow worker may still be at it
    signalbox.delivered(path)
    signalbox.tick()
    assert signalbox.puts(job) == [None]

    signalbox.age(record)
    signalbox.tick()
    assert signalbox.puts(job) == [None, 201]
    record = signalbox.record(path, "completed", ticking=True)
    assert [job.name for job in signalbox.jobs(path)] == [job]
    assert [attempt["takeovers"] for attempt in record["attempts"]] == [1]
    assert signalbox.puts(job) == [None, 201]


def test_a_host_killed_between_put_and_answer(signalbox: RunningSignalbox) -> None:
    path = "letters/dax/after-put.txt"
    signalbox.clear_requests()
    with signalbox.fault({"apply_then_drop": True}) as met:
        signalbox.upload(path)
        eventually(lambda: met() == 1)
        signalbox.functions.kill()
    record = signalbox.record(path, "submitting")
    job = record["attempts"][0]["job_name"]
    assert [job.name for job in signalbox.jobs(path)] == [job]

    signalbox.functions.start()
    signalbox.age(record)
    # a redelivery takes over just as the timer does
    signalbox.redeliver(signalbox.delivered(path))
    record = eventually(lambda: [r for r in signalbox.records(path) if r["state"] != "submitting"])[
        0
    ]
    assert record["attempts"][0]["takeovers"] == 1
    # found by GET: nobody has to put it a second time
    assert signalbox.puts(job) == [None]
    record = signalbox.record(path, "completed", ticking=True)
    assert [job.name for job in signalbox.jobs(path)] == [job]


def test_a_host_that_is_down_misses_nothing(signalbox: RunningSignalbox) -> None:
    path = "letters/dax/down.txt"
    signalbox.functions.stop()
    signalbox.upload(path)
    eventually(lambda: any(delivery["attempts"] for delivery in signalbox.deliveries(path)))
    signalbox.functions.start()
    signalbox.record(path, "completed", ticking=True)
    assert len(signalbox.jobs(path)) == 1


def test_a_workspace_that_is_busy(signalbox: RunningSignalbox) -> None:
    path = "letters/eton/busy.txt"
    signalbox.clear_requests()
    with signalbox.fault({"status": 503, "headers": {"Retry-After": "1"}}):
        signalbox.upload(path)
        signalbox.delivered(path)
    # the event was taken at once: it is safe in its record
    assert [delivery["attempts"] for delivery in signalbox.deliveries(path)] == [1]
    record = signalbox.record(path, "submitting")
    job = record["attempts"][0]["job_name"]
    # nothing repeats the PUT on its own, and the timer leaves it alone for the lease
    signalbox.tick()
    assert signalbox.puts(job) == [503]

    signalbox.age(record)
    signalbox.tick()
    assert signalbox.puts(job) == [503, 201]
    record = signalbox.record(path, "completed", ticking=True)
    assert len(record["attempts"]) == 1
    assert len(signalbox.jobs(path)) == 1
    assert signalbox.markers("letter-came") == set()


def test_a_workspace_that_stays_busy(signalbox: RunningSignalbox) -> None:
    path = "letters/eton/busier.txt"
    signalbox.clear_requests()
    with signalbox.fault({"status": 429}, times=3):
        signalbox.upload(path)
        signalbox.delivered(path)
        for _ in range(2):
            signalbox.age(signalbox.record(path, "submitting"))
            signalbox.tick()
    record = signalbox.record(path, "submitting")
    job = record["attempts"][0]["job_name"]
    assert signalbox.puts(job) == [429, 429, 429]
    signalbox.age(record)
    signalbox.tick()
    assert signalbox.puts(job) == [429, 429, 429, 201]
    assert len(signalbox.jobs(path)) == 1


def test_a_workspace_that_refuses_the_job(signalbox: RunningSignalbox) -> None:
    path = "letters/eton/refused.txt"
    signalbox.clear_requests()
    error = {"code": "UserError", "message": "The compute is not allowed to run this."}
    with signalbox.fault({"status": 400, "body": {"error": error}}):
        signalbox.upload(path)
        record = signalbox.record(path, "dead_letter")
    event = signalbox.delivered(path)
    job = record["attempts"][0]["job_name"]
    assert record["reason"]["code"] == "azureml_rejected"
    assert "UserError" in record["reason"]["text"]
    assert "The compute is not allowed to run this." in record["reason"]["text"]
    (entry,) = signalbox.history(path)
    assert entry["decision"] == "dead_letter"
    assert entry["reason"] == record["reason"]
    assert record["key"] not in signalbox.markers("letter-came")

    assert signalbox.post([event]).status_code == 202
    signalbox.tick()
    assert signalbox.puts(job) == [400]
    assert signalbox.jobs(path) == []


def test_events_wait_for_storage_that_is_away(signalbox: RunningSignalbox) -> None:
    path = "letters/fes/away.txt"
    with signalbox.state_lost():
        signalbox.upload(path)
        (answer, *_) = eventually(
            lambda: [a for delivery in signalbox.deliveries(path) for a in delivery["answers"]]
        )
        assert answer.startswith("500 StorageUnavailable: Blob storage answered 404")
    signalbox.record(path, "completed", ticking=True)
    assert len(signalbox.jobs(path)) == 1
    (delivery,) = signalbox.deliveries(path)
    assert delivery["state"] == "delivered"
    assert delivery["attempts"] > 1
