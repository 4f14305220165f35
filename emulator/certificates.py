"""A private certificate authority and one server certificate for every Azure host name in use."""

from dataclasses import dataclass
from pathlib import Path

import trustme

from emulator.topology import ARM_HOST, BLOB_SUFFIX, LOGIN_HOST


@dataclass(frozen=True, kw_only=True)
class Certificates:
    """PEM files; clients trust `ca`, listeners present `chain` with `key`."""

    ca: Path
    chain: Path
    key: Path

    @classmethod
    def at(cls, folder: Path) -> "Certificates":
        return cls(ca=folder / "ca.pem", chain=folder / "chain.pem", key=folder / "key.pem")


def issue_certificates(folder: Path) -> Certificates:
    """Write a new authority and a certificate for every host name in use into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    files = Certificates.at(folder)
    authority = trustme.CA(organization_name="Local Azure")
    leaf = authority.issue_cert(
        ARM_HOST, LOGIN_HOST, "*" + BLOB_SUFFIX, "*.api.azureml.ms", "*.azurewebsites.net"
    )
    authority.cert_pem.write_to_path(str(files.ca))
    files.chain.write_bytes(b"".join(pem.bytes() for pem in leaf.cert_chain_pems))
    files.key.touch(mode=0o600)
    leaf.private_key_pem.write_to_path(str(files.key))
    return files
