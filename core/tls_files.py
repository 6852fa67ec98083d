"""What is wrong with a file for TLS, in words: said alike by who looks before a start and by who looks at a change."""

__all__ = ["why_unusable"]


def why_unusable(error: OSError | ValueError) -> str:
    """Return why OpenSSL could not use a file; an `ssl.SSLError` has a `reason`."""
    reason = getattr(error, "reason", "")
    if reason == "KEY_VALUES_MISMATCH":
        return "the key does not belong to the certificate"
    if reason or (isinstance(error, OSError) and getattr(error, "library", None) is not None):
        return f"not PEM of the right kind, or encrypted ({reason or error})"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error)
