"""Which tier an engine runs in, for every answer that the machine can give."""

import os

import pytest

from gradebox_engine import tier
from gradebox_engine.jail import cgroup, rootless
from gradebox_engine.tier import Chosen, Tier, TierMissing

GONE = "no writable cgroup"


def _machine(monkeypatch: pytest.MonkeyPatch, uid: int, missing: str | None, ids: str | None = None) -> None:
    def try_out() -> None:
        if ids is not None:
            raise rootless.RootlessError(ids)

    monkeypatch.setattr(os, "geteuid", lambda: uid)
    monkeypatch.setattr(cgroup, "missing", lambda: missing)
    monkeypatch.setattr(rootless, "try_out", try_out)


@pytest.mark.parametrize("uid", [0, 1000])
@pytest.mark.parametrize("required", [None, "rootless", "full"])
def test_with_a_control_group_it_is_full(monkeypatch: pytest.MonkeyPatch, uid: int, required: Tier | None) -> None:
    _machine(monkeypatch, uid, None)
    assert tier.choose(required) == Chosen("full")


@pytest.mark.parametrize(("uid", "required"), [(1000, None), (1000, "rootless"), (0, "rootless")])
def test_without_one_it_is_rootless_and_says_so(
    monkeypatch: pytest.MonkeyPatch, uid: int, required: Tier | None
) -> None:
    _machine(monkeypatch, uid, GONE)
    chosen = tier.choose(required)
    assert chosen.tier == "rootless"
    assert GONE in chosen.warning and "\n" not in chosen.warning


@pytest.mark.parametrize(("uid", "required"), [(0, None), (0, "full"), (1000, "full")])
def test_it_never_falls_below_what_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, uid: int, required: Tier | None
) -> None:
    _machine(monkeypatch, uid, GONE)
    with pytest.raises(TierMissing, match=GONE):
        tier.choose(required)


@pytest.mark.parametrize("required", [None, "rootless", "full"])
def test_a_user_without_ids_has_no_tier(monkeypatch: pytest.MonkeyPatch, required: Tier | None) -> None:
    _machine(monkeypatch, 1000, None, ids="apt-get install uidmap")
    with pytest.raises(TierMissing, match="uidmap"):
        tier.choose(required)
