"""What a client's own certificate says: gRPC tells it nothing but a closed connection where an engine refuses it."""

import ssl
from datetime import UTC, datetime

_VERSION, _UTC_TIME = 0xA0, 0x17  # tags of DER


def valid_until(pem: bytes) -> datetime | None:
    """When the first certificate of a PEM file ends; None where that cannot be read."""
    try:
        certificate = ssl.PEM_cert_to_DER_cert(pem.decode("ascii")[pem.index(b"-----BEGIN CERTIFICATE") :])
        _, content, _ = _element(certificate)
        _, rest, _ = _element(content)  # what is signed
        tag, _, following = _element(rest)
        if tag == _VERSION:
            rest = following
        for _ in range(3):  # serial number, algorithm, issuer
            _, _, rest = _element(rest)
        tag, validity, _ = _element(rest)
        _, _, rest = _element(validity)
        tag, text, _ = _element(rest)
        form = "%y%m%d%H%M%SZ" if tag == _UTC_TIME else "%Y%m%d%H%M%SZ"
        return datetime.strptime(text.decode("ascii"), form).replace(tzinfo=UTC)
    except (ValueError, IndexError):
        return None


def refused(text: str, pem: bytes | None) -> str:
    """What to say of a TLS connection that the engine closed. pem: the certificate that the client shows, if any."""
    if "Socket closed" not in text:
        return text
    if pem is None:
        return f"{text} (perhaps the engine asks for a certificate: give cert_file and key_file)"
    end = valid_until(pem)
    if end is not None and end <= datetime.now(UTC):
        return f"{text} (the certificate in cert_file has expired, on {end:%Y-%m-%d %H:%M} UTC)"
    return f"{text} (perhaps the engine does not know the authority of the certificate in cert_file)"


def _element(data: bytes) -> tuple[int, bytes, bytes]:
    """The first element of DER: its tag, its content, and what follows. Raises IndexError, ValueError."""
    tag, size, start = data[0], data[1], 2
    if size >= 0x80:
        start += size - 0x80
        size = int.from_bytes(data[2:start])
    if len(data) < start + size:
        raise ValueError("cut off")
    return tag, data[start : start + size], data[start + size :]
