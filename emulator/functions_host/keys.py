"""Access keys of the function app, kept on disk so that a restart does not change them."""

import json
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Keys:
    """Keys by what they open, as https://learn.microsoft.com/azure/azure-functions/security-concepts"""

    #: everything, and alone the admin API
    master: str
    #: every function of level `function`
    host: str
    #: the Event Grid webhook
    event_grid: str

    @classmethod
    def load(cls, folder: Path) -> "Keys":
        """The keys kept in `folder`, made on first use."""
        file = folder / "keys.json"
        if file.exists():
            return cls(**json.loads(file.read_text()))
        keys = cls(
            master=secrets.token_urlsafe(32),
            host=secrets.token_urlsafe(32),
            event_grid=secrets.token_urlsafe(32),
        )
        folder.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o600)
        file.write_text(json.dumps(asdict(keys)))
        return keys

    def opens(self, level: str, given: str) -> bool:
        """Whether the key `given` may call a function of authorization level `level`."""
        accepted = {"anonymous": (), "function": (self.host, self.master)}.get(
            level, (self.master,)
        )
        return level == "anonymous" or any(
            secrets.compare_digest(given.encode(), key.encode()) for key in accepted
        )
