"""The files callers' TLS is made of: read into an SSL context, and watched for a change."""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass

from core.errors import ConfigError
from core.tls_files import why_unusable

__all__ = ["CertificateFiles"]

PROTOCOLS = ["h2", "http/1.1"]
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""For TLS 1.2, all with forward secrecy; HTTP/2 forbids most others (RFC 9113 9.2.2). Those of TLS 1.3 are fixed."""

Stamp = tuple[tuple[int, int, int] | None, ...]


@dataclass(frozen=True)
class CertificateFiles:
    """Paths of PEM files.

    certificate: ours, and those between it and its authority. client_ca: whose certificates callers must have; ""
    where they need none.
    """

    certificate: str
    key: str
    client_ca: str = ""

    def context(self) -> ssl.SSLContext:
        """Return a new context of what the files hold now; ConfigError, naming the file, if it cannot be used."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(CIPHERS)
        context.set_alpn_protocols(PROTOCOLS)
        context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE
        try:
            # A password that is given keeps OpenSSL from asking for one on the terminal.
            context.load_cert_chain(self.certificate, self.key, password="")
        except (OSError, ValueError) as error:
            files = f"the certificate {self.certificate} with the key {self.key}"
            raise ConfigError([f"{files} cannot be used: {why_unusable(error)}"]) from None
        if self.client_ca:
            try:
                context.load_verify_locations(self.client_ca)
            except (OSError, ValueError) as error:
                raise ConfigError([f"the client_ca {self.client_ca} cannot be used: {why_unusable(error)}"]) from None
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def stamp(self) -> Stamp:
        """Return what differs once a file was written to or replaced."""
        return tuple(stamp_of(path) for path in (self.certificate, self.key, self.client_ca) if path)


def stamp_of(path: str) -> tuple[int, int, int] | None:
    """Return a file's inode, size and time of change (nanoseconds); None where there is no file."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
