"""The Functions app: Azure's worker imports this file and finds the functions in it."""

import os

import azure.functions as func

from functions import blob_uploads, exporting, http_api, run_events, service_bus, timer

exporting.begin(os.environ)

app = func.FunctionApp()
app.register_functions(blob_uploads.bp)
app.register_functions(http_api.bp)
app.register_functions(run_events.bp)
app.register_functions(service_bus.bp)
app.register_functions(timer.bp)
