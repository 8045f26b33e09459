"""Settings of who may reach an engine, and how; and which of them make no sense together."""

import ipaddress
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from gradebox_engine.config import EngineConfig

type TokenDigest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
type TenantName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]


class TenantConfig(BaseModel):
    """One tenant. `tokens`: as `gradebox token` writes them; several, so that one can follow another."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tokens: tuple[TokenDigest, ...] = Field(min_length=1)
    weight: float = Field(1.0, gt=0, le=1000)  # of its share of the workers, where several want them
    cpu_s_per_hour: float | None = Field(None, gt=0)  # None: no quota
    requests_per_minute: float | None = Field(None, gt=0)
    programs_in_flight: int | None = Field(None, ge=1)


def contradiction(config: "EngineConfig", tenants: Mapping[str, TenantConfig]) -> str | None:
    """What is wrong with these settings as a whole, in one line that names one of them."""
    if (config.tls_certificate is None) != (config.tls_key is None):
        missing, given = ("tls_key", "tls_certificate") if config.tls_key is None else ("tls_certificate", "tls_key")
        return f"{missing}: missing; it goes with {given}"
    if config.tls_client_ca is not None and config.tls_certificate is None:
        return "tls_client_ca: needs tls_certificate and tls_key"
    if config.tls_certificate is not None and config.listen.startswith("unix:"):
        return "tls_certificate: a unix socket has no TLS"
    known: dict[str, str] = {}
    for name, tenant in tenants.items():
        for token in tenant.tokens:
            if (other := known.setdefault(token, name)) != name:
                return f"tenants.{name}.tokens: has a token of {other}"
    if tenants and config.tls_certificate is None and not config.allow_plain_tokens and not _is_local(config.listen):
        return (
            f"tenants: their tokens would come to {config.listen} in the clear; set tls_certificate and tls_key, "
            "or allow_plain_tokens where something in front of the engine ends TLS"
        )
    return None


def _is_local(listen: str) -> bool:
    """Whether nobody outside the machine reaches this address."""
    if listen.startswith("unix:"):
        return True
    host = listen.rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
