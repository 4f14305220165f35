"""The function app under its own host name, as Azure's front end hands requests to the host."""

import httpx
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

#: seconds: Azure's load balancer cuts an HTTP function off after 230
_TIMEOUT = 230.0
_ANY_METHOD = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]
# headers that belong to one connection (RFC 9110, 7.6.1)
_HOP_BY_HOP = {"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}


class FunctionAppProxy:
    """Forwards requests to the functions host on loopback; 503 while it is down."""

    def __init__(self, functions_url: str) -> None:
        self._http = httpx.AsyncClient(
            base_url=functions_url, trust_env=False, timeout=httpx.Timeout(_TIMEOUT, pool=None)
        )

    def routes(self) -> list[Route]:
        return [Route("/{path:path}", self._forward, methods=_ANY_METHOD)]

    async def close(self) -> None:
        await self._http.aclose()

    async def _forward(self, request: Request) -> Response:
        headers = [(k, v) for k, v in request.headers.items() if k not in _HOP_BY_HOP]
        forwarded = self._http.build_request(
            request.method,
            httpx.URL(path=request.scope["raw_path"].decode(), query=request.url.query.encode()),
            headers=[*headers, ("x-forwarded-proto", "https")],
            content=await request.body(),
        )
        try:
            # streamed, so that an encoded body is passed on as it is
            answer = await self._http.send(forwarded, stream=True)
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
