"""TLS of the engine's address: a certificate of its own and, where asked for, certificates of its clients.

Theory of operation. gRPC asks before every handshake, on a thread of its own, whether the files are to be read again;
they are when one has another size, time or inode. New files that do not belong together, as while they are being
replaced, are logged once and change nothing: the ones of before stay until there are good ones. Connections that are
open stay open.
"""

import os
import ssl
from collections.abc import Callable
from pathlib import Path

import grpc
import structlog

from gradebox_engine.config import EngineConfig

_log = structlog.get_logger("tls")


def server_credentials(config: EngineConfig) -> grpc.ServerCredentials | None:
    """What to listen with; None: in the clear. Raises RuntimeError for files that cannot be used."""
    if config.tls_certificate is None or config.tls_key is None:
        return None
    files = _Files(config.tls_certificate, config.tls_key, config.tls_client_ca)
    try:
        first = files.read()
    except (OSError, ssl.SSLError) as error:
        raise RuntimeError(f"TLS files cannot be used: {error}") from None
    make: Callable[..., grpc.ServerCredentials] = grpc.dynamic_ssl_server_credentials
    return make(first, files.newer, require_client_authentication=config.tls_client_ca is not None)


class _Files:
    def __init__(self, certificate: Path, key: Path, client_ca: Path | None) -> None:
        self._certificate = certificate
        self._key = key
        self._client_ca = client_ca
        self._seen: object = None

    def read(self) -> grpc.ServerCertificateConfiguration:
        """Raises OSError and ssl.SSLError."""
        self._seen = self._signature()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._certificate, self._key, password=lambda: "")  # never ask at a terminal
        if self._client_ca is not None:
            context.load_verify_locations(self._client_ca)
        pair = (self._key.read_bytes(), self._certificate.read_bytes())
        roots = self._client_ca.read_bytes() if self._client_ca is not None else None
        return grpc.ssl_server_certificate_configuration([pair], roots)

    def newer(self) -> grpc.ServerCertificateConfiguration | None:
        """What to use from now on; None: what was used before."""
        try:
            if self._signature() == self._seen:
                return None
            configuration = self.read()
        except (OSError, ssl.SSLError) as error:
            _log.error("TLS files not read again; those of before are kept", reason=str(error))
            return None
        _log.info("TLS files read again")
        return configuration

    def _signature(self) -> object:
        stats = [os.stat(file) for file in (self._certificate, self._key, self._client_ca) if file is not None]
        return [(stat.st_mtime_ns, stat.st_size, stat.st_ino) for stat in stats]
