// Loaded into Azurite before it starts (node --require): faults on demand, as emulator/faults.py has
// them for Azure Machine Learning. Beside the containers of any account lies `/.faults`, which no
// container can be called: POST arms a fault, GET shows them all, DELETE disarms them.
//
//   {"host": "contoso.blob.core.windows.net", "path_contains": "/state/", "action": {"drop": true},
//    "method": "PUT", "if_match": true, "times": 2}
//
// `if_match` are requests that say at which ETag the blob must be. `times` are the next so many that
// match, one when it is left out. Actions: {"status": 503, "code": "ServerBusy"} answers and does
// nothing; {"drop": true} does nothing and cuts the connection; {"apply_then_drop": true} does it and
// cuts the connection instead of an answer; {"delay_seconds": 1.5} does it later.
const https = require("node:https");

const FIELDS = new Set(["host", "path_contains", "action", "method", "if_match", "times"]);
const ACTIONS = {
  status: (value, action) => value >= 400 && value < 600 && typeof action.code === "string",
  drop: (value) => value === true,
  apply_then_drop: (value) => value === true,
  delay_seconds: (value) => value > 0,
};
let armed = [];

function problem(fault) {
  const unknown = Object.keys(fault).filter((field) => !FIELDS.has(field));
  if (unknown.length) return `a fault has no ${unknown.join(", ")}`;
  if (!fault.host || !fault.path_contains) return "a fault needs a host and a path_contains";
  if (!(Number.isInteger(fault.times ?? 1) && (fault.times ?? 1) > 0)) return "times is 1 or more";
  const action = fault.action ?? {};
  const [kind, ...more] = Object.keys(action).filter((key) => key !== "code");
  if (more.length || !ACTIONS[kind]?.(action[kind], action))
    return `an action is one of ${Object.keys(ACTIONS).join(", ")}; a status has a code`;
}

function met(request) {
  const host = (request.headers.host ?? "").split(":")[0];
  const path = decodeURIComponent(request.url.split("?")[0]);
  const fault = armed.find(
    (fault) =>
      fault.met < fault.times &&
      fault.host === host &&
      path.includes(fault.path_contains) &&
      (!fault.method || fault.method === request.method) &&
      (!fault.if_match || "if-match" in request.headers),
  );
  if (fault) fault.met += 1;
  return fault?.action;
}

// The few bytes tell clients that something began to answer: a proxied connection that ends without
// any is taken for one on which nothing was sent.
const cut = (response) => response.socket?.end("HTTP/1.1 ");

function meet(action, request, response, goOn) {
  if (action.delay_seconds) {
    setTimeout(goOn, action.delay_seconds * 1000);
  } else if (action.apply_then_drop) {
    response.writeHead = () => response;
    response.write = () => true;
    response.end = () => cut(response);
    goOn();
  } else {
    // the whole request first, so that the client is not cut while it still sends
    request.resume().on("end", () => {
      if (action.drop) return cut(response);
      response.writeHead(action.status, {
        "content-type": "application/xml",
        "x-ms-error-code": action.code,
      });
      const error = `<Error><Code>${action.code}</Code><Message>A fault.</Message></Error>`;
      response.end(request.method === "HEAD" ? undefined : error);
    });
  }
}

function control(request, response) {
  const answer = (status, body) => {
    response.writeHead(status, { "content-type": "application/json" });
    response.end(JSON.stringify(body));
  };
  if (request.method === "GET") return answer(200, armed);
  if (request.method === "DELETE") return answer(200, armed.splice(0));
  let text = "";
  request.on("data", (more) => (text += more));
  request.on("end", () => {
    let fault;
    try {
      fault = JSON.parse(text);
    } catch (error) {
      return answer(400, { problem: error.message });
    }
    const wrong = problem(fault);
    if (wrong) return answer(400, { problem: wrong });
    armed.push({ times: 1, ...fault, met: 0 });
    answer(201, armed.at(-1));
  });
}

const createServer = https.createServer;
https.createServer = (...options) => {
  const server = createServer(...options);
  const emit = server.emit;
  server.emit = (event, ...args) => {
    const [request, response] = args;
    if (event !== "request") return emit.call(server, event, ...args);
    if (request.url === "/.faults") return control(request, response) ?? true;
    const action = met(request);
    const goOn = () => emit.call(server, event, request, response);
    return action ? meet(action, request, response, goOn) ?? true : goOn();
  };
  return server;
};
