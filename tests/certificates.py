"""Certificates for tests, made by the openssl command."""

import subprocess
from pathlib import Path

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


class Authority:
    """A certificate authority of its own, in a folder; what it signs is valid for localhost."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = name
        self.file = folder / f"{name}.pem"
        self._key = folder / f"{name}.key"
        _openssl("req", "-x509", *_KEY, "-keyout", self._key, "-out", self.file, "-subj", f"/CN={name}", "-days", 2)

    def sign(self, name: str, days: int = 1) -> tuple[Path, Path]:
        """A certificate and its key; days: -1 is one that has expired."""
        files = [self._folder / f"{self._name}-{name}.{kind}" for kind in ("pem", "key", "csr", "ext")]
        certificate, key, request, extension = files
        extension.write_text("subjectAltName=DNS:localhost,DNS:engines.test,IP:127.0.0.1")
        _openssl("req", *_KEY, "-keyout", key, "-out", request, "-subj", f"/CN={name}")
        _openssl(
            *("x509", "-req", "-in", request, "-CA", self.file, "-CAkey", self._key),
            *("-days", days, "-extfile", extension, "-out", certificate),
        )
        return certificate, key


def _openssl(*arguments: object) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)
