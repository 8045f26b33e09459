"""The engine's one configuration object: flags > environment (GRADEBOX_*) > TOML file > defaults.

It is made once, at the entry point, and passed in; nothing else reads the environment.
In the environment a ceiling is written GRADEBOX_CEILINGS__MEMORY_BYTES=4294967296.
"""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, DirectoryPath, Field, FilePath, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from gradebox_engine import machine
from gradebox_engine.access import TenantConfig, TenantName, contradiction
from gradebox_engine.limits import Ceilings, Limits
from gradebox_engine.tier import Tier

DEFAULT_LISTEN = "127.0.0.1:50051"
WORKERS_PER_FRONT = 16  # what one front can keep at work on small programs, with room to spare


class InvalidConfig(ValueError):
    """A setting that cannot be used; the text names it and says why."""


class EngineConfig(BaseSettings):
    """All settings of an engine. Frozen; sizes in bytes."""

    model_config = SettingsConfigDict(env_prefix="GRADEBOX_", env_nested_delimiter="__", frozen=True, extra="forbid")

    listen: str = Field(DEFAULT_LISTEN, pattern=r"^(unix:.+|.*:\d+)$")
    workers: int | None = Field(None, ge=1, le=1024)  # None: by the machine's cores and memory
    fronts: int | None = Field(None, ge=1, le=256)  # None: one for each WORKERS_PER_FRONT workers
    images: tuple[str, ...] | None = None  # to be served beside `python`; None: every one that is built
    image_store: Path = Field(default_factory=lambda: Path.home() / ".local/share/gradebox/images")  # built ones
    packages: DirectoryPath | None = None  # a folder of installed packages that programs can import
    warm_modules: tuple[Annotated[str, Field(pattern=r"^\w+(\.\w+)*$")], ...] = ()  # imported ahead for who uses them
    ceilings: Ceilings = Ceilings()
    max_message_bytes: int = Field(64 << 20, ge=1 << 20, le=1 << 30)
    max_program_bytes: int = Field(8 << 20, ge=1)
    max_queued_programs: int = Field(200_000, ge=1)
    max_queued_bytes: int = Field(1 << 30, ge=1 << 20)
    cache_bytes: int = Field(64 << 20, ge=0)  # 0: no results are kept, neither in memory nor in a file
    cache_path: Path | None = None  # None: in memory only
    cache_disk_bytes: int = Field(1 << 30, ge=1 << 20)
    require_tier: Tier | None = None  # None: what an ordinary user can have, but nothing less than `full` as root
    tls_certificate: FilePath | None = None  # PEM, with what leads to an authority; read again when it changes
    tls_key: FilePath | None = None
    tls_client_ca: FilePath | None = None  # PEM; clients have to show a certificate that comes from it
    tenants: dict[TenantName, TenantConfig] = {}  # none: open to whoever reaches the address
    allow_plain_tokens: bool = False  # tokens of tenants come over a network without TLS
    drain_s: float = Field(10.0, ge=0, le=86_400)  # for calls under way, when the engine is asked to end
    max_connection_age_s: float | None = Field(None, ge=1)  # then clients connect anew; calls under way are finished
    lost_calls_s: float = Field(30.0, ge=0, le=3600)  # what a lost connection had asked for goes on, and is kept
    canary_s: float = Field(30.0, ge=1)  # how often a program of the engine's own shows that it works
    config_file: Path | None = None  # that this was read from
    embedded: bool = False  # ends with the process that holds the other end of stdin
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_programs: bool = False  # the text of programs goes into the log, too
    http: str | None = Field(None, pattern=r"^.*:\d+$")  # HOST:PORT of the live page, of metrics and of probes
    # Where spans go, http://HOST:4317 (OTLP over gRPC). None: nowhere.
    otel_endpoint: str | None = Field(
        None,
        validation_alias=AliasChoices(
            "otel_endpoint",
            "GRADEBOX_OTEL_ENDPOINT",
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            "OTEL_EXPORTER_OTLP_ENDPOINT",
        ),
    )
    otel_service_name: str = Field(
        "gradebox",
        validation_alias=AliasChoices("otel_service_name", "GRADEBOX_OTEL_SERVICE_NAME", "OTEL_SERVICE_NAME"),
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags, environment, TOML, in this order of precedence."""
        toml = TomlConfigSettingsSource(settings_cls)
        return init_settings, env_settings, toml

    def with_machine(self) -> "EngineConfig":
        """Completed by what this machine has: never more memory promised than there is."""
        budget = machine.memory_budget()
        workers = self.workers or machine.worker_count(
            Limits().memory_bytes, cores=machine.usable_cores(), budget=budget
        )
        most = machine.memory_ceiling(workers, budget=budget)
        ceilings = replace(self.ceilings, memory_bytes=min(self.ceilings.memory_bytes, most))
        return self.model_copy(update={"workers": workers, "ceilings": ceilings, "fronts": self._front_count(workers)})

    def _front_count(self, workers: int) -> int:
        """At least one worker for each front; one front where the address cannot be shared."""
        if self.listen.startswith("unix:"):
            return 1
        return min(self.fronts or -(-workers // WORKERS_PER_FRONT), workers)


def load_config(flags: dict[str, Any], config_file: Path | None = None) -> EngineConfig:
    """The configuration for these flags (None: not given) and this TOML file.

    Raises InvalidConfig with one line a wrong setting.
    """
    loaded = _read({name: value for name, value in flags.items() if value is not None}, config_file)
    if (loaded.fronts or 1) > 1 and loaded.listen.startswith("unix:") and not loaded.embedded:
        raise InvalidConfig(f"fronts: {loaded.fronts} cannot share {loaded.listen}; listen on HOST:PORT, or have one")
    if loaded.embedded:  # it has one caller, its owner
        own: dict[str, Any] = {"tenants": {}, "tls_certificate": None, "tls_key": None, "tls_client_ca": None}
        loaded = loaded.model_copy(update=own)
    if wrong := contradiction(loaded, loaded.tenants):
        raise InvalidConfig(wrong)
    return EngineConfig.model_construct(**dict(loaded))


def load_tenants(config: EngineConfig) -> dict[str, TenantConfig]:
    """The tenants as the configuration's file has them now. Raises InvalidConfig."""
    tenants = _read({}, config.config_file).tenants
    if wrong := contradiction(config, tenants):
        raise InvalidConfig(wrong)
    return tenants


def _read(given: dict[str, Any], config_file: Path | None) -> EngineConfig:
    if config_file is not None:
        if not config_file.is_file():
            raise InvalidConfig(f"{config_file}: no such file")
        given["config_file"] = config_file.absolute()

    class FromFile(EngineConfig):
        model_config = SettingsConfigDict(toml_file=config_file)

    try:
        return FromFile(**given)
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        raise InvalidConfig("\n".join(lines)) from None
    except (ValueError, OSError) as error:  # not TOML; gone
        raise InvalidConfig(f"{config_file}: {error}") from None
