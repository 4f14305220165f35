// Loaded into Azurite before it starts (node --require). It uses two public seams and changes no
// behaviour of the storage service itself:
//  - morgan's named format: Azurite's access log becomes one JSON object a line, with what an
//    Event Grid event needs and the common format leaves out (host, ETag, request id);
//  - standard input: a pipe held by the process that started Azurite, whose end is Azurite's end.
const { createRequire } = require("node:module");

const morgan = createRequire(process.argv[1])("morgan");

morgan.format("common", (tokens, request, response) => {
  const header = (name) => request.headers[name];
  const url = new URL(request.originalUrl, "https://storage.invalid");
  return JSON.stringify({
    time: new Date().toISOString(),
    method: request.method,
    host: header("host"),
    path: url.pathname,
    comp: url.searchParams.get("comp"),
    restype: url.searchParams.get("restype"),
    status: response.statusCode,
    milliseconds: Number(tokens["response-time"](request, response)),
    etag: response.getHeader("etag"),
    request_id: response.getHeader("x-ms-request-id"),
    client_request_id: header("x-ms-client-request-id"),
    content_length: Number(header("content-length") ?? 0),
    content_type: header("x-ms-blob-content-type") ?? header("content-type"),
    blob_type: header("x-ms-blob-type"),
    copy_source: header("x-ms-copy-source") !== undefined,
  });
});

process.stdin.resume();
process.stdin.on("end", () => process.exit(0));
process.stdin.on("error", () => process.exit(0));
