"""Configuration: who wins, and that a wrong setting is named."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from gradebox_engine import machine
from gradebox_engine.config import InvalidConfig, load_config
from gradebox_engine.limits import Ceilings


def test_flags_beat_environment_beats_file_beats_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "engine.toml"
    file.write_text('workers = 3\nlisten = "a:1"\nlog_level = "error"\n[ceilings]\ncpu_time_s = 7\n')
    monkeypatch.setenv("GRADEBOX_LISTEN", "b:2")
    monkeypatch.setenv("GRADEBOX_WORKERS", "4")
    monkeypatch.setenv("GRADEBOX_CEILINGS__DISK_BYTES", "5000")
    loaded = load_config({"workers": 5, "listen": None}, file)
    assert (loaded.workers, loaded.listen, loaded.log_level) == (5, "b:2", "error")
    assert loaded.ceilings == Ceilings(cpu_time_s=7.0, disk_bytes=5000)
    assert loaded.max_program_bytes == 8 << 20
    with pytest.raises(ValidationError):
        loaded.workers = 1


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("workers = 0", "workers"),
        ("cache_bytes = -1", "cache_bytes"),
        ("cache_disk_bytes = 5", "cache_disk_bytes"),
        ('listen = "nowhere"', "listen"),
        ("worker = 1", "worker"),
        ("[ceilings]\ncpu = 1", "ceilings"),
        ('require_tier = "some"', "require_tier"),
        ("workers = ", "engine.toml"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, named: str) -> None:
    monkeypatch.delenv("GRADEBOX_CACHE_BYTES")  # it would win
    file = tmp_path / "engine.toml"
    file.write_text(text)
    with pytest.raises(InvalidConfig, match=named):
        load_config({}, file)
    with pytest.raises(InvalidConfig, match="no such file"):
        load_config({}, tmp_path / "other.toml")


def test_the_cache_is_on_by_default_and_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_config({"cache_bytes": 0}, None).cache_bytes == 0
    monkeypatch.delenv("GRADEBOX_CACHE_BYTES")
    loaded = load_config({}, None)
    assert (loaded.cache_bytes, loaded.cache_path) == (64 << 20, None)
    monkeypatch.setenv("GRADEBOX_CACHE_PATH", str(tmp_path / "env"))
    assert load_config({}, None).cache_path == tmp_path / "env"
    assert load_config({"cache_path": tmp_path / "flag"}, None).cache_path == tmp_path / "flag"


def test_no_more_memory_is_promised_than_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "memory_budget", lambda: 4 << 30)
    monkeypatch.setattr(machine, "usable_cores", lambda: 64)
    chosen = load_config({}).with_machine()
    assert chosen.workers == 3  # 1 GiB and what a worker itself needs
    assert chosen.ceilings.memory_bytes < (4 << 30) // 3
    assert load_config({"workers": 2}).with_machine().ceilings.memory_bytes < 2 << 30


def test_a_containers_limits_count(tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text("150000 100000\n")
    (tmp_path / "memory.max").write_text(str(2 << 30))
    assert machine.usable_cores(tmp_path) <= 2
    assert machine.memory_budget(tmp_path) <= 2 << 30
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert machine.usable_cores(tmp_path) >= 1
    first = tmp_path / "v1"
    for name, value in (("cpu/cpu.cfs_quota_us", -1), ("cpu/cpu.cfs_period_us", 100000)):
        (first / name).parent.mkdir(parents=True, exist_ok=True)
        (first / name).write_text(str(value))
    assert machine.usable_cores(first) >= 1


def test_the_tier_comes_from_flag_environment_or_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "engine.toml"
    file.write_text('require_tier = "full"\n')
    assert load_config({}).require_tier is None
    assert load_config({}, file).require_tier == "full"
    monkeypatch.setenv("GRADEBOX_REQUIRE_TIER", "rootless")
    assert load_config({}, file).require_tier == "rootless"
    assert load_config({"require_tier": "full"}, file).require_tier == "full"
