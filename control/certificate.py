"""Whether the files for callers' TLS can be used, looked at before anything is started."""

import ssl

from core.errors import ConfigError
from core.tls_files import why_unusable

__all__ = ["check_files"]


def check_files(certificate: str, key: str, client_ca: str) -> None:
    """Load PEM files as a worker will; ConfigError with a line for each that cannot be used.

    client_ca: "" where callers need no certificate.
    """
    problems = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # A password that is given keeps OpenSSL from asking for one on the terminal.
        context.load_cert_chain(certificate, key, password="")
    except (OSError, ValueError) as error:
        problems.append(f"listen.https: {certificate} with the key {key} cannot be used: {why_unusable(error)}")
    if client_ca:
        try:
            context.load_verify_locations(client_ca)
        except (OSError, ValueError) as error:
            problems.append(f"listen.https.client_ca: {client_ca} cannot be used: {why_unusable(error)}")
    if problems:
        raise ConfigError(problems)
