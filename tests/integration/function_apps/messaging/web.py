"""A web application that tells what it was asked."""

import hashlib

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]


async def _tell(request: Request) -> Response:
    body = await request.body()
    return JSONResponse(
        {
            "method": request.method,
            "path": request.scope["path"],
            "scheme": request.scope["scheme"],
            "host": request.url.hostname,
            "query": request.query_params.multi_items(),
            "headers": dict(request.headers),
            "length": len(body),
            "digest": hashlib.sha256(body).hexdigest(),
            "json": await request.json()
            if "json" in request.headers.get("content-type", "")
            else None,
        },
        status_code=int(request.query_params.get("status", "200")),
        headers={"X-Method": request.method, "X-Length": str(len(body))},
    )


async def _echo(request: Request) -> Response:
    return Response(
        await request.body(), media_type=request.headers.get("content-type", "text/plain")
    )


async def _status(request: Request) -> Response:
    return Response(status_code=request.path_params["code"])


async def _cookies(_: Request) -> Response:
    response = Response("cookies")
    response.set_cookie("one", "1", httponly=True)
    response.set_cookie("two", "2")
    return response


async def _crash(_: Request) -> Response:
    raise RuntimeError("the web application is broken")


web = Starlette(
    routes=[
        Route("/api/echo", _echo, methods=_METHODS),
        Route("/api/status/{code:int}", _status, methods=_METHODS),
        Route("/api/cookies", _cookies),
        Route("/api/crash", _crash),
        Route("/{path:path}", _tell, methods=_METHODS),
    ]
)
