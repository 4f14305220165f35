"""The function app under its own host name, as Azure's front end hands requests to the host."""

import httpx
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from emulator.instances import Instances

#: seconds: Azure's load balancer cuts an HTTP function off after 230
_TIMEOUT = 230.0
_ANY_METHOD = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]
# headers that belong to one connection (RFC 9110, 7.6.1)
_HOP_BY_HOP = {"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}


class FunctionAppProxy:
    """Forwards requests to the functions hosts on loopback, in turns; 503 while all are down."""

    def __init__(self, instances: Instances) -> None:
        self._instances = instances
        self._http = httpx.AsyncClient(trust_env=False, timeout=httpx.Timeout(_TIMEOUT, pool=None))

    def routes(self) -> list[Route]:
        return [Route("/{path:path}", self._forward, methods=_ANY_METHOD)]

    async def close(self) -> None:
        await self._http.aclose()

    async def _forward(self, request: Request) -> Response:
        headers = [(k, v) for k, v in request.headers.items() if k not in _HOP_BY_HOP]
        path, query = request.scope["raw_path"].decode(), request.url.query.encode()
        content = await request.body()

        async def forward(instance: str) -> httpx.Response:
            forwarded = self._http.build_request(
                request.method,
                httpx.URL(instance, path=path, query=query),
                headers=[*headers, ("x-forwarded-proto", "https")],
                content=content,
            )
            # streamed, so that an encoded body is passed on as it is
            return await self._http.send(forwarded, stream=True)

        try:
            answer = await self._instances.send(forward)
            body = b"".join([chunk async for chunk in answer.aiter_raw()])
            await answer.aclose()
        except httpx.HTTPError as error:
            return PlainTextResponse(f"The function app does not answer: {error!r}", 503)
        response = Response(body, status_code=answer.status_code)
        response.raw_headers = [
            (name.lower(), value)
            for name, value in answer.headers.raw
            if name.lower().decode() not in _HOP_BY_HOP
        ]
        return response
