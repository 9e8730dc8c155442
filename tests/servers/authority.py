"""An authority of a test, whose certificates are files; it may be followed by another one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import trustme

from partstream.embedded.process import TlsFiles


class Authority:
    """Certificates of one authority, as files."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self._folder = folder
        self._authority = trustme.CA()
        self.file = folder / "ca.pem"
        self._authority.cert_pem.write_to_path(self.file)

    def issue(self, name: str, *hosts: str) -> tuple[Path, Path]:
        """A certificate for these hosts, and its key; a new one if the name was used before."""
        made = self._authority.issue_cert(*hosts)
        certificate, key = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        made.cert_chain_pems[0].write_to_path(certificate)
        made.private_key_pem.write_to_path(key)
        return certificate, key

    def server(self, *hosts: str, clients: str = "yes") -> TlsFiles:
        """What a server needs that is reached by these names."""
        certificate, key = self.issue("server", *hosts)
        return TlsFiles(self.file, certificate, key, clients)

    def client(self) -> dict[str, Any]:
        """The configs of a client that the server is to trust."""
        certificate, key = self.issue("client", "client")
        return {
            "ssl_ca_certs": str(self.file),
            "ssl_certfile": str(certificate),
            "ssl_keyfile": str(key),
            "request_timeout_ms": 5_000,
        }

    def begin_anew(self) -> None:
        """Become another authority: both are trusted until `forget_the_old`."""
        self._authority = trustme.CA()
        with self.file.open("ab") as file:
            file.write(self._authority.cert_pem.bytes())

    def forget_the_old(self) -> None:
        """Only certificates of the present authority are trusted from now on."""
        self._authority.cert_pem.write_to_path(self.file)
