"""HTTP functions: their routes, their keys, and requests and answers as the worker has them."""

import itertools
import re
from http.cookies import SimpleCookie
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from emulator.functions_host.bindings import Function, HostError
from emulator.functions_host.keys import Keys
from emulator.functions_host.protos import RpcHttp, TypedData
from emulator.functions_host.worker import Worker

_PARAMETER = re.compile(r"\{(?P<all>\*{0,2})(?P<name>\w+)(?::(?P<type>[^}?]+))?(?P<optional>\?)?\}")
_CONVERTERS = {None: "str", "int": "int", "alpha": "str", "guid": "uuid", "long": "int"}
#: bytes; https://learn.microsoft.com/azure/azure-functions/functions-bindings-http-webhook-trigger
LONGEST_BODY = 104_857_600
_ANY_METHOD = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]


def key_of(request: Request) -> str:
    """The access key a request carries, in its header or its query."""
    return request.headers.get("x-functions-key") or request.query_params.get("code", "")


def http_routes(worker: Worker, keys: Keys, *, prefix: str) -> list[Route]:
    """Routes of the app's HTTP functions below `prefix`, literal paths before parameters.

    Raises HostError for a route constraint this host does not know.
    """
    found = []
    for function in worker.functions.values():
        if function.kind != "httpTrigger":
            continue
        template = "/".join(
            part.strip("/") for part in (prefix, function.trigger.get("route") or function.name)
        )
        methods = [m.upper() for m in function.trigger.get("methods") or _ANY_METHOD]
        endpoint = _endpoint(worker, function, keys)
        paths = _paths("/" + template.strip("/"), function)
        found += [_route(path, endpoint, methods) for path in paths]
    return sorted(found, key=lambda route: (":path}" in route.path, route.path.count("{")))


def _route(path: str, endpoint: Any, methods: list[str]) -> Route:
    route = Route(path, endpoint, methods=methods)
    # Starlette lets HEAD follow from GET, Azure does not
    route.methods = set(methods)
    return route


def _endpoint(worker: Worker, function: Function, keys: Keys) -> Any:
    level = str(function.trigger.get("authLevel", "function")).lower()

    async def endpoint(request: Request) -> Response:
        if not keys.opens(level, key_of(request)):
            return Response(status_code=401)
        body = await _body(request)
        if body is None:
            return Response(status_code=413)
        outcome = await worker.invoke(
            function,
            TypedData(http=_to_worker(request, body)),
            reason="This was called by HTTP",
            traceparent=request.headers.get("traceparent", ""),
        )
        if not outcome.succeeded:
            return Response(status_code=500)
        return _from_worker(outcome.value)

    return endpoint


def _paths(template: str, function: Function) -> list[str]:
    """The template in Starlette's words; an optional parameter at the end makes a second path."""

    def convert(match: re.Match[str]) -> str:
        if match["all"]:
            return f"{{{match['name']}:path}}"
        converter = _CONVERTERS.get(match["type"])
        if converter is None:
            raise HostError(
                f"{function.name}: the route constraint {match['type']!r} in {template!r} is not "
                f"implemented by the local functions host, only: int, long, guid, alpha"
            )
        return f"{{{match['name']}:{converter}}}"

    paths = [_PARAMETER.sub(convert, template)]
    *_, last = itertools.chain([None], _PARAMETER.finditer(template))
    if last and (last["optional"] or last["all"]) and last.end() == len(template):
        paths.append(_PARAMETER.sub(convert, template[: last.start()].rstrip("/")) or "/")
    # a slash at the end makes no difference, but to a parameter that takes it in
    return paths + [f"{path}/" for path in paths if path != "/" and ":path}" not in path]


async def _body(request: Request) -> bytes | None:
    """The request's body; None when it is longer than Azure takes, found out before it is read."""
    if int(request.headers.get("content-length", "0")) > LONGEST_BODY:
        return None
    parts = bytearray()
    # a chunked body does not tell its length
    async for part in request.stream():
        parts += part
        if len(parts) > LONGEST_BODY:
            return None
    return bytes(parts)


def _to_worker(request: Request, body: bytes) -> RpcHttp:
    """The request as Azure's host writes it: repeated names joined, empty values left out."""
    query: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        query[name] = f"{query[name]},{value}" if name in query else value
    headers: dict[str, str] = {}
    for name, value in request.headers.items():
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    return RpcHttp(
        method=request.method,
        url=_url(request),
        headers=headers,
        params={name: str(value) for name, value in request.path_params.items() if value != ""},
        query={name: value for name, value in query.items() if value},
        body=TypedData(bytes=body),
    )


def _url(request: Request) -> str:
    """The address as the client wrote it: what is escaped in the path must stay so."""
    path = request.scope["raw_path"].decode("latin-1")
    query = request.scope["query_string"].decode("latin-1")
    host = request.headers.get("host", "")
    return f"{request.url.scheme}://{host}{path}{'?' if query else ''}{query}"


def _from_worker(value: TypedData | None) -> Response:
    match value.WhichOneof("data") if value else None:
        case None:
            return Response(status_code=204)
        case "http":
            assert value
            answer: RpcHttp = value.http
            response = Response(
                answer.body.bytes, status_code=int(answer.status_code), headers=answer.headers
            )
            for cookie in answer.cookies or []:
                response.headers.append("set-cookie", _cookie(cookie))
            return response
        case "json":
            assert value
            return Response(value.json, media_type="application/json")
        case kind:
            assert value
            return PlainTextResponse(str(getattr(value, kind)))


def _cookie(cookie: Any) -> str:
    jar: SimpleCookie = SimpleCookie()
    jar[cookie.name] = cookie.value
    morsel = jar[cookie.name]
    for name in ("domain", "path"):
        if getattr(cookie, name):
            morsel[name] = getattr(cookie, name).value
    if cookie.expires:
        morsel["expires"] = cookie.expires.value.strftime("%a, %d %b %Y %H:%M:%S GMT")
    if cookie.max_age:
        morsel["max-age"] = str(int(cookie.max_age.value))
    morsel["secure"] = bool(cookie.secure and cookie.secure.value)
    morsel["httponly"] = bool(cookie.http_only and cookie.http_only.value)
    if cookie.same_site:
        morsel["samesite"] = cookie.same_site
    return morsel.OutputString()


def not_found(message: str) -> JSONResponse:
    return JSONResponse({"message": message}, status_code=404)
