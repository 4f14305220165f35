from typing import Any

import pytest
from azure.core.credentials import AccessToken

from shared.errors import RequestInvalid
from shared.lakes import AzureLakes, Upload
from tests.fakes import World
from tests.unit.scene import event


class NoCredential:
    """Fails a test that would talk to anybody."""

    def get_token(self, *_scopes: str, **_options: Any) -> AccessToken:
        raise AssertionError("nothing should be asked")


def upload(path: str = "sales/north/march.csv", etag: str = "0x1") -> Upload:
    return Upload(
        account="contosolake",
        container="landing",
        path=path,
        etag=etag,
        size=12,
        last_modified=World().now,
    )


@pytest.mark.parametrize(
    "path",
    ["sales/north/march.csv", "a b/ä.csv", "100%.csv", "a%2Fb/c#d?e.csv", "x", "a\nb", "ü" * 500],
)
def test_an_upload_is_the_same_happening_as_its_event(path: str) -> None:
    made, real = upload(path).event(), event(path)

    assert made.blob == real.blob
    assert made.dedupe_key() == real.dedupe_key()
    assert made.about == real.about
    assert upload(path, etag="0x2").event().dedupe_key() != real.dedupe_key()


def test_an_upload_happened_when_storage_says() -> None:
    made = upload().event()

    assert made.time == World().now
    assert made.data["contentLength"] == 12
    assert made.data["url"] == upload().url


@pytest.mark.parametrize(
    ("account", "container", "path"),
    [
        ("evil.com/x", "landing", "a"),
        ("evil.com#", "landing", "a"),
        ("", "landing", "a"),
        ("UPPER", "landing", "a"),
        ("contosolake", "../other", "a"),
        ("contosolake", "a/b", "a"),
        ("contosolake", "", "a"),
        ("contosolake", "landing", "../signalbox-state/index.json"),
        ("contosolake", "landing", "a/./b"),
        ("contosolake", "landing", "x" * 1025),
        ("contosolake", "landing", "\ud800"),
    ],
)
def test_a_name_that_leads_elsewhere_is_not_asked_for(
    account: str, container: str, path: str
) -> None:
    lakes = AzureLakes(NoCredential())
    with pytest.raises(RequestInvalid):
        lakes.find(account, container, path)
    with pytest.raises(RequestInvalid):
        lakes.list(account, container, path, 10)
