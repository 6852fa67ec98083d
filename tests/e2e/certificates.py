"""Certificates made for a test, as files for the gateway and as contexts for callers."""

import ssl
from pathlib import Path

import trustme

__all__ = ["Authority"]


class Authority:
    """A certificate authority; its files are in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = trustme.CA()
        self.ca = folder / "ca.pem"
        self.authority.cert_pem.write_to_path(str(self.ca))
        self.certificate = folder / "certificate.pem"
        self.key = folder / "key.pem"
        self.renew()

    @property
    def https(self) -> str:
        """Return the keys of `listen.https` that name these files."""
        return f"certificate: {self.certificate}, key: {self.key}"

    def renew(self) -> int:
        """Write a new certificate for localhost and its key over the old ones; return its serial number."""
        return self.write(self.certificate, self.key)

    def write(self, certificate: Path, key: Path, name: str = "localhost") -> int:
        """Write a certificate and its key; return its serial number."""
        issued = self.authority.issue_cert(name)
        certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(str(key))
        return serial_of(issued.cert_chain_pems[0].bytes().decode())

    def context(self, *protocols: str) -> ssl.SSLContext:
        """Return a caller's context that trusts this authority and offers `protocols` by ALPN."""
        context = ssl.create_default_context(cafile=str(self.ca))
        if protocols:
            context.set_alpn_protocols(list(protocols))
        return context


def serial_of(pem: str) -> int:
    """Return the serial number of a certificate."""
    from cryptography import x509  # only here, as it takes a while to import.

    return x509.load_pem_x509_certificate(pem.encode()).serial_number
