"""Who calls. The functions host has checked the key; platform authentication names a principal."""

import re
from collections.abc import Mapping
from urllib.parse import quote

from shared.api.problems import Refused
from shared.settings import Settings

#: Whoever has a key.
KEY = "key"

#: Source: App Service authentication, "Access user claims in app code".
_PRINCIPAL = "x-ms-client-principal-id"

#: Without the comma: the functions host joins headers that come twice with one.
_ID = re.compile(r"[!-+\--~]{1,200}")


def principal(settings: Settings, headers: Mapping[str, str]) -> str:
    """The caller, as sources of events name it.

    Only where platform authentication stands before the app is its header believed, and then
    nobody comes in without. Raises Refused.
    """
    if not settings.platform_authentication:
        return KEY
    named = headers.get(_PRINCIPAL, "")
    if not _ID.fullmatch(named):
        raise Refused(
            401,
            "Platform authentication names no caller for this request; sign in.",
            headers={"WWW-Authenticate": "Bearer"},
        )
    return quote(named, safe="")
