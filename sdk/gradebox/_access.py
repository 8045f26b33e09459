"""How engines are reached: in the clear or over TLS, and as whom.

A token is a password: it is sent with every call, so it goes over TLS, or no further than this machine,
unless the caller says otherwise.
"""

import ipaddress
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc

from gradebox._certificates import refused
from gradebox._errors import InvalidRequest

type File = str | os.PathLike[str]


@dataclass(frozen=True, slots=True)
class Access:
    """What a channel needs beside its target. tls: PEM texts of authorities, key and certificate; None is plaintext."""

    tls: tuple[bytes | None, bytes | None, bytes | None] | None = field(default=None, repr=False)
    metadata: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    def channel(self, target: str, options: Sequence[tuple[str, Any]]) -> grpc.aio.Channel:
        """A channel to a target, in the event loop that runs."""
        if self.tls is None:
            return grpc.aio.insecure_channel(target, options=options)
        return grpc.aio.secure_channel(target, grpc.ssl_channel_credentials(*self.tls), options=options)

    def explained(self, text: str) -> str:
        """What gRPC says of a lost connection, with the reason where it may be TLS."""
        return text if self.tls is None else refused(text, self.tls[2])


def access(
    targets: Sequence[str],
    *,
    token: str | None,
    ca_file: File | None,
    cert_file: File | None,
    key_file: File | None,
    tls: bool | None,
) -> Access:
    """The access that a client's arguments ask for. Raises InvalidRequest."""
    if tls not in (None, True, False):
        raise InvalidRequest(f"must be True, False or None, not {tls!r}", "tls")
    files = {"ca_file": ca_file, "cert_file": cert_file, "key_file": key_file}
    given = [name for name, file in files.items() if file is not None]
    if tls is False and given:
        raise InvalidRequest("says plaintext, which uses no certificates", "tls")
    for one, other in (("cert_file", "key_file"), ("key_file", "cert_file")):
        if one in given and other not in given:
            raise InvalidRequest(f"missing: it goes with {one}", other)
    metadata = () if token is None else (("authorization", f"Bearer {_checked(token)}"),)
    secure = bool(tls or given)
    if metadata and not secure and tls is not False:
        for target in targets:
            if not _is_local(target):
                raise InvalidRequest(
                    f"would travel to {target} in the clear: give ca_file, or tls=True for the system's "
                    "certificate authorities, or tls=False where the network keeps it",
                    "token",
                )
    if not secure:
        return Access(None, metadata)
    read = {name: None if file is None else _read(file, name) for name, file in files.items()}
    return Access((read["ca_file"], read["key_file"], read["cert_file"]), metadata)


def _checked(token: str) -> str:
    if not isinstance(token, str) or not re.fullmatch(r"[\x21-\x7e]+", token):
        raise InvalidRequest("must be printable ASCII without spaces", "token")  # and is never shown
    return token


def _read(file: File, name: str) -> bytes:
    try:
        with open(file, "rb") as stream:
            return stream.read()
    except (OSError, TypeError, ValueError) as error:
        raise InvalidRequest(f"cannot be read: {error}", name) from None


def _is_local(target: str) -> bool:
    """Whether a target is on this machine, by its text."""
    if target.startswith(("unix:", "unix-abstract:")):
        return True
    scheme = re.match(r"(dns:(//[^/]*/)?|ipv4:|ipv6:)", target)
    host = target[scheme.end() :] if scheme else target
    if not re.search(r"(^|[^:\]]):[0-9]*$|\]:[0-9]*$", host):
        return False
    host = host.rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
