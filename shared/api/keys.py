"""What makes two requests the same: the header Idempotency-Key."""

import re
from typing import Annotated

from fastapi import Depends, Header, Request

from shared.api.door import call_of
from shared.api.problems import Refused

#: Without the comma: the functions host joins headers that come twice with one.
_PATTERN = r"[!-+\--~](?:[ -+\--~]{0,198}[!-+\--~])?"
_KEY = re.compile(_PATTERN)


def _key(
    request: Request,
    idempotency_key: Annotated[
        str | None,
        Header(
            alias="Idempotency-Key",
            description="Requests with the same key and body start one run, however often they "
            "are sent. Printable ASCII without commas. Left out, every request is a new one.",
            json_schema_extra={"pattern": f"^{_PATTERN}$", "maxLength": 200},
            examples=["sales-2026-03"],
        ),
    ] = None,
) -> str:
    given = request.headers.getlist("idempotency-key")
    if not given or idempotency_key is None:
        return call_of(request).new_id()
    if len(given) > 1 or not _KEY.fullmatch(idempotency_key):
        raise Refused(
            400,
            "Idempotency-Key is one header of 1 to 200 printable ASCII characters, without commas.",
        )
    return idempotency_key


Key = Annotated[str, Depends(_key)]
