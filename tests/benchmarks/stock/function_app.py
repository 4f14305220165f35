"""What one writes without Signalbox: load the pipeline, fill in the inputs, submit it."""

import os
from typing import Any

import azure.functions as func
from azure.ai.ml import Input, MLClient, load_job
from azure.identity import DefaultAzureCredential

app = func.FunctionApp()
client = MLClient(
    DefaultAzureCredential(),
    os.environ["SUBSCRIPTION_ID"],
    os.environ["RESOURCE_GROUP"],
    os.environ["WORKSPACE"],
)


@app.function_name("blob_uploads")
@app.event_grid_trigger(arg_name="event")
def blob_uploads(event: func.EventGridEvent) -> None:
    # steps-10/a.csv is for the pipeline of ten steps
    pipeline = event.subject.rsplit("/", 2)[1]
    job: Any = load_job(os.path.join(os.environ["PIPELINES"], f"{pipeline}.yml"))  # noqa: PTH118
    job.inputs.data = Input(type="uri_file", path=event.get_json()["url"])
    client.jobs.create_or_update(job)
