"""The configs of listeners that speak TLS, under Kafka's names. Certificates are PEM."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr, model_validator

from partstream.config.common import INT32_MAX, CommonConfig

TLS_VERSIONS = ("TLSv1.2", "TLSv1.3")


class ListenerTlsConfig(CommonConfig):
    """What `SSL://` listeners are configured with."""

    ssl_keystore_type: Literal["PEM"] = "PEM"
    """What the key store is. Kafka's default is JKS; here it is always PEM (KIP-651)."""

    ssl_keystore_location: str | None = None
    """A PEM file with the certificate of this gateway, those that lead to its authority, and its
    private key."""

    ssl_keystore_key_location: str | None = None
    """A PEM file with the private key, if `ssl_keystore_location` has none, as with the secrets of
    Kubernetes. Kafka has no such config."""

    ssl_keystore_certificate_chain: str | None = None
    """Instead of `ssl_keystore_location`: the certificates themselves (PEM)."""

    ssl_keystore_key: SecretStr | None = None
    """The private key of `ssl_keystore_certificate_chain` itself (PEM)."""

    ssl_key_password: SecretStr | None = None
    """The password of the private key."""

    ssl_truststore_type: Literal["PEM"] = "PEM"
    """What the trust store is: always PEM."""

    ssl_truststore_location: str | None = None
    """A PEM file with the authorities that certificates of clients are checked against."""

    ssl_truststore_certificates: str | None = None
    """Instead of `ssl_truststore_location`: the authorities themselves (PEM)."""

    ssl_client_auth: Literal["none", "requested", "required"] = "none"
    """Whether clients show a certificate: `required` refuses those that have none, `requested`
    checks it if there is one."""

    ssl_enabled_protocols: str = "TLSv1.2,TLSv1.3"
    """The versions of TLS that are spoken."""

    ssl_cipher_suites: str | None = None
    """The ciphers of TLS 1.2, in OpenSSL's notation. Default: Python's choice."""

    ssl_reload_interval_ms: int = Field(default=10_000, ge=100, le=INT32_MAX)
    """How often it is looked whether the files of certificates have changed; then connections that
    come get the new ones. SIGHUP looks at once. Kafka has no such config."""

    @property
    def tls_versions(self) -> tuple[str, ...]:
        """`ssl_enabled_protocols`, the oldest first."""
        named = {name.strip() for name in self.ssl_enabled_protocols.split(",")}
        return tuple(version for version in TLS_VERSIONS if version in named)

    @model_validator(mode="after")
    def _protocols(self) -> ListenerTlsConfig:
        named = {name.strip() for name in self.ssl_enabled_protocols.split(",")}
        if not named or named - set(TLS_VERSIONS):
            raise ValueError(
                f"ssl_enabled_protocols={self.ssl_enabled_protocols!r}: expected "
                f"{' or '.join(TLS_VERSIONS)}, or both with a comma"
            )
        return self

    @model_validator(mode="after")
    def _one_store(self) -> ListenerTlsConfig:
        for whole, part in (
            ("ssl_keystore_location", "ssl_keystore_certificate_chain"),
            ("ssl_truststore_location", "ssl_truststore_certificates"),
        ):
            if getattr(self, whole) is not None and getattr(self, part) is not None:
                raise ValueError(f"{part}: expected none where there is {whole}")
        if (self.ssl_keystore_certificate_chain is None) != (self.ssl_keystore_key is None):
            raise ValueError(
                "ssl_keystore_key: expected together with ssl_keystore_certificate_chain"
            )
        if self.ssl_client_auth != "none" and not (
            self.ssl_truststore_location or self.ssl_truststore_certificates
        ):
            raise ValueError(
                f"ssl_client_auth={self.ssl_client_auth!r}: expected a ssl_truststore_location to "
                "check certificates of clients against"
            )
        return self
