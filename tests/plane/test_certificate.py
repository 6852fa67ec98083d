import os
import ssl
from pathlib import Path

import pytest
import trustme

from control.certificate import check_files
from core.errors import ConfigError
from plane.certificate import CertificateFiles


@pytest.fixture
def files(tmp_path: Path) -> CertificateFiles:
    authority = trustme.CA()
    issued = authority.issue_cert("localhost")
    issued.private_key_pem.write_to_path(str(tmp_path / "key"))
    issued.cert_chain_pems[0].write_to_path(str(tmp_path / "certificate"))
    authority.cert_pem.write_to_path(str(tmp_path / "ca"))
    return CertificateFiles(str(tmp_path / "certificate"), str(tmp_path / "key"), str(tmp_path / "ca"))


def test_a_context_has_tls_1_2_at_least_and_no_cipher_without_forward_secrecy(files: CertificateFiles) -> None:
    context = files.context()
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    old = [cipher["name"] for cipher in context.get_ciphers() if cipher["protocol"] == "TLSv1.2"]
    assert old
    assert all(name.startswith("ECDHE-") and ("GCM" in name or "CHACHA20" in name) for name in old)
    assert context.options & ssl.OP_NO_RENEGOTIATION
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert CertificateFiles(files.certificate, files.key).context().verify_mode == ssl.CERT_NONE


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("key", None, "no such file"),
        ("key", b"nonsense", "not PEM"),
        ("key", b"", "not PEM"),
        ("key", b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n", "encrypted"),
        ("certificate", None, "no such file"),
        ("certificate", b"nonsense", "not PEM"),
        ("certificate", b"\0" * 100, "not PEM"),
        ("ca", None, "no such file"),
        ("ca", b"", "not PEM"),
        ("ca", b"nonsense", "not PEM"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_before_a_start_and_at_a_change(
    name: str, content: bytes | None, reason: str, files: CertificateFiles
) -> None:
    path = Path(files.key).with_name(name)
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    for load in (files.context, lambda: check_files(files.certificate, files.key, files.client_ca)):
        with pytest.raises(ConfigError) as found:
            load()
        (problem,) = found.value.problems
        assert str(path) in problem
        assert reason in problem


def test_a_key_of_another_certificate_is_told_apart(files: CertificateFiles) -> None:
    other = trustme.CA().issue_cert("localhost")
    other.private_key_pem.write_to_path(files.key)
    with pytest.raises(ConfigError, match="the key does not belong to the certificate"):
        files.context()


def test_every_way_to_change_a_file_is_noticed(files: CertificateFiles, tmp_path: Path) -> None:
    seen = {files.stamp()}
    for path in (files.certificate, files.key, files.client_ca):
        for change in (
            lambda at: os.utime(at, ns=(1, 1)),
            lambda at: Path(at).write_bytes(b"longer" * 10_000),
            lambda at: ((tmp_path / "new").write_bytes(b"") and None) or (tmp_path / "new").replace(at),
            lambda at: Path(at).unlink(),
        ):
            change(path)
            assert files.stamp() not in seen
            seen.add(files.stamp())
