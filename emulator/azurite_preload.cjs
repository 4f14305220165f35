// Loaded into Azurite before it starts (node --require). It uses public seams and changes no
// behaviour of the storage service itself:
//  - the cache of modules: the SDK of the telemetry, which `--disableTelemetry` never calls, is an
//    empty module, since loading it takes longer than all the rest of Azurite;
//  - morgan's named format: Azurite's access log becomes one JSON object a line, with what an
//    Event Grid event needs and the common format leaves out (host, ETag, request id);
//  - LokiJS, in which Azurite has its blobs. It searches the index of the field that a question
//    names first, which is the account, and so looks at every blob; it keeps an index of each of
//    four fields, and sorts all of them anew when something is deleted by a question. With thousands
//    of blobs that is most of Azurite's time. Here the only index is that of the field `name`, which
//    goes first, and what is found is deleted one by one: the answers are the same. Each page of a
//    listing tries a regular expression on every name there is; here it is tried on the names that
//    the index has from the prefix on, up to the last that can begin with it. A prefix with a slash
//    is no number, which LokiJS would order otherwise;
//  - standard input: a pipe held by the process that started Azurite, whose end is Azurite's end.
const { createRequire } = require("node:module");

const azurite = createRequire(process.argv[1]);
const telemetry = azurite.resolve("applicationinsights");
azurite.cache[telemetry] = { id: telemetry, filename: telemetry, loaded: true, exports: {} };

const morgan = azurite("morgan");

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

const loki = azurite("lokijs");
const { addCollection } = loki.prototype;
loki.prototype.addCollection = function (name, options) {
  const named = options?.indices?.includes("name");
  return addCollection.call(this, name, named ? { ...options, indices: ["name"] } : options);
};
const { find } = loki.Resultset.prototype;
const begins = /^\^((?:[^\\]|\\.)*)$/s;
loki.Resultset.prototype.find = function (query, firstOnly) {
  const prefix = begins.exec(query?.name?.$regex ?? "")?.[1].replace(/\\(.)/gs, "$1");
  if (prefix?.includes("/") && !this.filterInitialized) {
    find.call(this, { name: { $between: [prefix, `${prefix}\uffff`] } });
  }
  const named = typeof query?.name === "string";
  return find.call(this, named ? { name: query.name, ...query } : query, firstOnly);
};
loki.Collection.prototype.findAndRemove = function (query) {
  for (const found of this.find(query)) this.remove(found);
};

process.stdin.resume();
process.stdin.on("end", () => process.exit(0));
process.stdin.on("error", () => process.exit(0));
