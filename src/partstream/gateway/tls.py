"""The certificates of SSL listeners: loaded from PEM, and again when their files have changed.

A connection keeps what it was opened with. One that comes later gets what the files say by then, so
that certificates are renewed without a restart.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import tempfile
from pathlib import Path

from pydantic import SecretStr

from partstream.config.gateway_tls import ListenerTlsConfig
from partstream.errors import ConfigError

_logger = logging.getLogger(__name__)

_VERSIONS = {"TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}
_VERIFY = {
    "none": ssl.CERT_NONE,
    "requested": ssl.CERT_OPTIONAL,
    "required": ssl.CERT_REQUIRED,
}


class Certificates:
    """What SSL listeners show, and what they ask for."""

    def __init__(self, config: ListenerTlsConfig) -> None:
        """Load them.

        Raises:
            ConfigError: a file cannot be read, or does not hold what it should.
        """
        self._config = config
        self._seen = self._stamps()
        self.context = make_context(config)
        """For the next connection."""

    def reload(self, *, changed_only: bool = False) -> bool:
        """Load them again; what cannot be loaded leaves those that there are. True if it worked."""
        seen = self._stamps()
        if changed_only and seen == self._seen:
            return False
        self._seen = seen
        try:
            self.context = make_context(self._config)
        except ConfigError as error:
            _logger.error("the certificates stay as they were: %s", error)
            return False
        _logger.info("the certificates were loaded again")
        return True

    async def watch(self) -> None:
        """Load them again whenever a file has changed."""
        while True:
            await asyncio.sleep(self._config.ssl_reload_interval_ms / 1000)
            self.reload(changed_only=True)

    def _stamps(self) -> list[tuple[int, int, int] | None]:
        """What tells one state of the files from another."""
        config = self._config
        return [
            _stamp(path)
            for path in (
                config.ssl_keystore_location,
                config.ssl_keystore_key_location,
                config.ssl_truststore_location,
            )
            if path is not None
        ]


def _stamp(path: str) -> tuple[int, int, int] | None:
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def make_context(config: ListenerTlsConfig) -> ssl.SSLContext:
    """The context of connections.

    Raises:
        ConfigError: it names the config that cannot be followed.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    versions = config.tls_versions
    context.minimum_version = _VERSIONS[versions[0]]
    context.maximum_version = _VERSIONS[versions[-1]]
    if config.ssl_cipher_suites is not None:
        try:
            context.set_ciphers(config.ssl_cipher_suites)
        except ssl.SSLError:
            raise ConfigError(
                f"ssl_cipher_suites={config.ssl_cipher_suites!r}: expected ciphers of OpenSSL"
            ) from None
    _load_key(context, config)
    _load_trust(context, config)
    context.verify_mode = _VERIFY[config.ssl_client_auth]
    return context


def _load_key(context: ssl.SSLContext, config: ListenerTlsConfig) -> None:
    location, key = config.ssl_keystore_location, config.ssl_keystore_key_location
    # Without a password of ours OpenSSL would ask for one on the terminal.
    password = _plain(config.ssl_key_password)
    if location is not None:
        try:
            context.load_cert_chain(location, key, password=lambda: password)
        except (OSError, ValueError) as error:
            named = f"ssl_keystore_location={location!r}"
            if key is not None:
                named += f", ssl_keystore_key_location={key!r}"
            raise ConfigError(
                f"{named}: expected PEM files with a certificate and its private key: "
                f"{_reason(error, location, key)}"
            ) from error
        return
    # OpenSSL takes the key and its certificate from files only.
    with tempfile.TemporaryDirectory(prefix="partstream-") as folder:
        path = Path(folder) / "keystore.pem"
        path.touch(mode=0o600)
        chain = config.ssl_keystore_certificate_chain or ""
        path.write_text(f"{_plain(config.ssl_keystore_key)}\n{chain}\n", encoding="ascii")
        try:
            context.load_cert_chain(path, password=lambda: password)
        except (OSError, ValueError) as error:
            raise ConfigError(
                "ssl_keystore_certificate_chain, ssl_keystore_key: expected a certificate and its "
                f"private key (PEM): {_reason(error)}"
            ) from error


def _load_trust(context: ssl.SSLContext, config: ListenerTlsConfig) -> None:
    location, inline = config.ssl_truststore_location, config.ssl_truststore_certificates
    try:
        if location is not None:
            context.load_verify_locations(location)
        elif inline is not None:
            context.load_verify_locations(cadata=inline)
    except (OSError, ValueError) as error:
        named = (
            f"ssl_truststore_location={location!r}" if location else "ssl_truststore_certificates"
        )
        raise ConfigError(
            f"{named}: expected certificates (PEM): {_reason(error, location)}"
        ) from error


def _plain(secret: SecretStr | None) -> str:
    return "" if secret is None else secret.get_secret_value()


def _reason(error: Exception, *paths: str | None) -> str:
    """What went wrong; Python does not say which of two files is missing."""
    for path in paths:
        if path is not None and not Path(path).is_file():
            return f"there is no file {path!r}"
    return getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
