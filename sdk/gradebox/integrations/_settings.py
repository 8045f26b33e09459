"""What an adapter is told: by arguments, else by the environment, else nothing."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from gradebox import InvalidRequest, Seal

REWARDS = ("pass_rate", "all_passed")
ACCESS = ("token", "ca_file", "cert_file", "key_file")
TIMEOUT_S = 300.0


@dataclass(frozen=True, slots=True)
class Settings:
    """How rewards are made. `engines` are addresses; none means an embedded engine, one for this process.

    `access` is what a client is told beside them: token, ca_file, cert_file, key_file, tls. `timeout_s` is the time
    for one call of a reward function, whatever it has to do; `no_program` the reward of an output in which there is
    no program.
    """

    engines: tuple[str, ...] = ()
    access: tuple[tuple[str, Any], ...] = field(default=(), repr=False)
    timeout_s: float = TIMEOUT_S
    reward: str = "pass_rate"
    min_seal: str | None = None
    no_program: float = 0.0

    @classmethod
    def of(
        cls,
        *,
        engine: str | Sequence[str] | None = None,
        timeout_s: float | None = None,
        reward: str | None = None,
        min_seal: Seal | str | None = None,
        no_program: float = 0.0,
        tls: bool | None = None,
        **access: str | os.PathLike[str] | None,
    ) -> Self:
        """Arguments, else GRADEBOX_ENGINE (addresses with commas between), GRADEBOX_TOKEN, GRADEBOX_CA_FILE,
        GRADEBOX_CERT_FILE, GRADEBOX_KEY_FILE, GRADEBOX_REWARD_TIMEOUT_S, GRADEBOX_REWARD and GRADEBOX_MIN_SEAL.

        Raises InvalidRequest.
        """
        if unknown := sorted(set(access) - set(ACCESS)):
            raise InvalidRequest("no such setting", unknown[0])
        engines = _setting(engine, "ENGINE") or ()
        if isinstance(engines, str):
            engines = [address.strip() for address in engines.split(",") if address.strip()]
        given_s = _setting(timeout_s, "REWARD_TIMEOUT_S")
        seal = _setting(min_seal, "MIN_SEAL")
        settings = cls(
            engines=tuple(engines),
            access=_access({name: _setting(access.get(name), name.upper()) for name in ACCESS} | {"tls": tls}),
            timeout_s=TIMEOUT_S if given_s is None else _seconds(given_s),
            reward=_setting(reward, "REWARD") or "pass_rate",
            min_seal=seal.name if isinstance(seal, Seal) else seal,
            no_program=float(no_program),
        )
        if settings.reward not in REWARDS:
            raise InvalidRequest(f"{settings.reward!r} is none of {', '.join(REWARDS)}", "reward")
        return settings


def _access(values: dict[str, Any]) -> tuple[tuple[str, Any], ...]:
    return tuple((name, value) for name, value in values.items() if value is not None)


def _setting(given: Any, name: str) -> Any:
    return os.environ.get(f"GRADEBOX_{name}") or None if given is None else given


def _seconds(value: float | str) -> float:
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise InvalidRequest(f"must be a positive number, not {value!r}", "timeout_s")
    return seconds
