"""The Functions app: Azure's worker imports this file and finds the functions in it."""

import azure.functions as func

from functions import blob_uploads, http_api, run_events, service_bus, timer

app = func.FunctionApp()
app.register_functions(blob_uploads.bp)
app.register_functions(http_api.bp)
app.register_functions(run_events.bp)
app.register_functions(service_bus.bp)
app.register_functions(timer.bp)
