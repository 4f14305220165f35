"""What the parent tells the services process; apart, so that the parent need not load it."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from emulator.topology import Addresses, Topology


class ServicesSettings(BaseModel):
    """What the parent tells the services process, as a JSON file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    topology: Topology
    addresses: Addresses
    identity_header: str
    #: folder for what the services write
    state: Path
    #: folder with the certificates
    tls: Path
    #: Azurite's access log
    access_log: Path
    #: system key of the function app's Event Grid webhook; None without a function app
    event_grid_key: str | None
    #: what leads a client process to this local Azure
    client_environment: dict[str, str]
