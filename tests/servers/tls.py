"""A server that speaks TLS, with a certificate of an authority made for the test."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import trustme

from partstream.embedded.ports import free_port
from partstream.embedded.server import EmbeddedServer
from partstream.errors import StoreUnavailable
from tests.servers.targets import Target


@dataclass(frozen=True, slots=True)
class TlsServer:
    """Where it listens, and whom to trust."""

    server: EmbeddedServer
    port: int
    """The port that speaks TLS; `server.port` does not."""
    ca_file: Path
    """The certificate of the authority, as PEM."""

    @property
    def url(self) -> str:
        """`rediss://...`; without `ca_file` its certificate must be refused."""
        return f"rediss://127.0.0.1:{self.port}"


@contextmanager
def tls_server(targets: Iterable[Target], folder: Path) -> Iterator[TlsServer | None]:
    """Run the first server that was built with TLS; None if there is none."""
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1", "localhost")
    ca_file = folder / "ca.pem"
    authority.cert_pem.write_to_path(ca_file)
    certificate.private_key_pem.write_to_path(folder / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    for target in targets:
        if target.binary is None:
            continue
        port = free_port()
        config: dict[str, str | int] = {
            "tls-port": port,
            "tls-cert-file": str(folder / "cert.pem"),
            "tls-key-file": str(folder / "key.pem"),
            "tls-ca-cert-file": str(ca_file),
            "tls-auth-clients": "no",
        }
        server = EmbeddedServer(binary=target.binary.path, config=config)
        try:
            server.start()
        except StoreUnavailable:  # built without TLS: it does not know the first line
            server.close()
            continue
        try:
            yield TlsServer(server, port, ca_file)
        finally:
            server.close()
        return
    yield None
