"""Who may use an engine: tenants, their tokens, their shares of the workers and their quotas.

Without tenants an engine is open: all callers are one tenant, without a name. With tenants every call has to bring a
token (`authorization: Bearer …`). The configuration holds SHA-256 digests of tokens: tokens are long and random, so a
digest is as good as a slow hash would be. All digests are compared, each in constant time.

The tenants' part of the configuration file is read again when the file changes, and on SIGHUP. What cannot be used is
logged and changes nothing, and so is what would open an engine that has asked for tokens. A tenant that stays keeps
what it has used; calls under way of one that goes are finished.
"""

import asyncio
import contextlib
import hashlib
import hmac
import os
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from gradebox_engine.access import TenantConfig
from gradebox_engine.config import EngineConfig, InvalidConfig, load_tenants
from gradebox_engine.quotas import Quotas
from gradebox_engine.work import Share

TOKEN_BYTES = 32  # of randomness
LOOK_S = 1.0  # at the configuration file
AUTHORIZATION_KEY = "authorization"
_log = structlog.get_logger("tenants")


class Unauthenticated(Exception):
    """The caller has not shown who it is."""


@dataclass(slots=True, eq=False)
class Tenant:
    """One tenant, as long as the engine runs."""

    name: str
    share: Share
    quotas: Quotas
    digests: tuple[bytes, ...] = ()


def new_token() -> tuple[str, str]:
    """A token, and how the configuration writes it."""
    token = "gbx_" + secrets.token_urlsafe(TOKEN_BYTES)
    return token, "sha256:" + hashlib.sha256(token.encode()).hexdigest()


class Tenants:
    """The tenants of one front, which is one of `fronts` and so has its part of every quota."""

    def __init__(self, config: EngineConfig, fronts: int = 1) -> None:
        self._config = config
        self._fronts = fronts
        share = Share()
        self._open = Tenant("", share, Quotas(TenantConfig.model_construct(tokens=()), share))
        self._tenants: dict[str, Tenant] = {}
        self._apply(config.tenants)
        self._seen = self._signature()

    def of(self, metadata: Iterable[tuple[str, Any]]) -> Tenant:
        """Who calls with this metadata. Raises Unauthenticated."""
        if not self._tenants:
            return self._open
        shown = next((value for key, value in metadata if key == AUTHORIZATION_KEY), None)
        if shown is None:
            raise Unauthenticated("this engine wants a token: send it as metadata, 'authorization: Bearer TOKEN'")
        scheme, _, token = str(shown).partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated("the metadata 'authorization' is not 'Bearer TOKEN'")
        digest = hashlib.sha256(token.strip().encode(errors="replace")).digest()
        found = None
        for tenant in self._tenants.values():
            for known in tenant.digests:
                if hmac.compare_digest(known, digest):
                    found = tenant
        if found is None:
            raise Unauthenticated("this engine does not know the token: it is wrong, or was withdrawn")
        return found

    async def watch(self) -> None:
        """Reads the tenants again whenever the configuration file has changed; for a task."""
        while True:
            await asyncio.sleep(LOOK_S)
            if self._signature() != self._seen:
                self.reload()

    def reload(self) -> None:
        """Reads the tenants again; what cannot be used is logged."""
        self._seen = self._signature()
        try:
            tenants = load_tenants(self._config)
            if self._tenants and not tenants:
                raise InvalidConfig(
                    "tenants: none any more, which would open the engine to all; start it again for that"
                )
        except InvalidConfig as error:
            _log.error("tenants not read again; those of before are kept", reason=str(error))
            return
        self._apply(tenants)
        _log.info("tenants read again", tenants=len(tenants))

    def _apply(self, configs: Mapping[str, TenantConfig]) -> None:
        kept, self._tenants = self._tenants, {}
        weights = sum(config.weight for config in configs.values())
        for name, config in configs.items():
            tenant = kept.get(name)
            if tenant is None:
                share = Share()
                tenant = Tenant(name, share, Quotas(config, share, self._fronts))
            else:
                tenant.quotas.change(config)
            tenant.share.weight, tenant.share.part = config.weight, config.weight / weights
            tenant.digests = tuple(bytes.fromhex(token.removeprefix("sha256:")) for token in config.tokens)
            self._tenants[name] = tenant

    def _signature(self) -> tuple[int, ...]:
        if self._config.config_file is not None:
            with contextlib.suppress(OSError):
                stat = os.stat(self._config.config_file)
                return stat.st_mtime_ns, stat.st_size, stat.st_ino
        return ()
