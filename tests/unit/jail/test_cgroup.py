"""Both kinds of control group, on a fake tree: these are plain files, so what is written can be read back."""

import os
from pathlib import Path

import pytest

from gradebox_engine.jail import cgroup


def _v2(root: Path) -> Path:
    (root / "cgroup.controllers").write_text("cpu memory pids\n")
    (root / "cgroup.subtree_control").write_text("")
    (root / "cgroup.procs").write_text("")
    return root


def _v1(root: Path) -> Path:
    for name in ("memory", "pids", "cpuacct"):
        (root / name).mkdir()
        (root / name / "cgroup.procs").write_text("")
    return root


def test_detects_what_the_tree_offers(tmp_path: Path) -> None:
    assert cgroup.detect(tmp_path) is None
    (tmp_path / "cgroup.controllers").write_text("hugetlb\n")  # a v2 tree that has nothing to give
    assert cgroup.detect(tmp_path) is None
    assert cgroup.detect(_v1(tmp_path)) == 1
    assert cgroup.detect(_v2(tmp_path)) == 2


def test_no_tree_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(cgroup.CgroupError, match="gradebox doctor"):
        cgroup.Cgroup(0, tmp_path)


def test_v2_limits_and_accounts(tmp_path: Path) -> None:
    group = cgroup.Cgroup(3, _v2(tmp_path))
    (folder,) = tmp_path.glob("gradebox-*")
    assert folder.name == f"gradebox-{os.getpid()}-3"
    assert set((tmp_path / "cgroup.subtree_control").read_text().split()) == {"+memory", "+pids", "+cpu"}
    (folder / "memory.swap.max").write_text("max")
    group.set_memory(1000)
    group.set_tasks(7)
    group.add(42)
    assert (folder / "memory.max").read_text() == "1000"
    assert (folder / "memory.swap.max").read_text() == "0"
    assert (folder / "pids.max").read_text() == "7"
    assert (folder / "cgroup.procs").read_text() == "42"
    (folder / "memory.events").write_text("low 0\noom 3\noom_kill 2\n")
    (folder / "cpu.stat").write_text("usage_usec 1500000\nuser_usec 1\n")
    (folder / "memory.current").write_text("123\n")
    assert (group.oom_kills(), group.cpu_time_s(), group.memory_bytes()) == (2, 1.5, 123)


def test_v1_limits_and_accounts(tmp_path: Path) -> None:
    group = cgroup.Cgroup(0, _v1(tmp_path))
    (memory,) = (tmp_path / "memory").glob("gradebox-*")
    (pids,) = (tmp_path / "pids").glob("gradebox-*")
    (cpu,) = (tmp_path / "cpuacct").glob("gradebox-*")
    (memory / "memory.memsw.limit_in_bytes").write_text("")
    group.set_memory(1000)
    group.set_tasks(9)
    group.add(42)
    assert (memory / "memory.limit_in_bytes").read_text() == "1000"
    assert (memory / "memory.memsw.limit_in_bytes").read_text() == "1000"
    assert (pids / "pids.max").read_text() == "9"
    assert all((folder / "cgroup.procs").read_text() == "42" for folder in (memory, pids, cpu))
    (memory / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 1\n")
    (cpu / "cpuacct.usage").write_text("2500000000\n")
    assert (group.oom_kills(), group.cpu_time_s()) == (1, 2.5)


def test_sweep_removes_only_what_the_dead_left(tmp_path: Path) -> None:
    _v2(tmp_path)
    dead, alive, foreign = tmp_path / "gradebox-99999999-0", tmp_path / f"gradebox-{os.getpid()}-0", tmp_path / "other"
    for folder in (dead, alive, foreign):
        folder.mkdir()
    assert cgroup.sweep(tmp_path) == 1
    assert not dead.exists() and alive.exists() and foreign.exists()


def test_the_leaf_that_we_were_moved_to_is_not_the_base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = _v2(tmp_path)
    scope = own / "user.scope"
    (scope / "gradebox-supervisor").mkdir(parents=True)
    monkeypatch.setattr(cgroup, "_own_path", lambda *_: "/user.scope/gradebox-supervisor")
    assert cgroup._bases(own, 2) == {"": own}  # nothing was handed on to the scope
    _v2(scope)
    assert cgroup._bases(own, 2) == {"": scope}


def test_v2_makes_room_before_a_lower_limit(tmp_path: Path) -> None:
    group = cgroup.Cgroup(0, _v2(tmp_path))
    (folder,) = tmp_path.glob("gradebox-*")
    group.set_memory(1000)
    (folder / "memory.current").write_text("500\n")
    group.set_memory(600)
    assert (folder / "memory.max").read_text() == "600"
    assert (folder / "memory.high").read_text() == "max"
    with pytest.raises(cgroup.CgroupError, match="not given back"):
        group.set_memory(400)
    assert (folder / "memory.max").read_text() == "600"


def test_what_is_missing_is_found_by_trying(tmp_path: Path) -> None:
    missing = cgroup.missing(tmp_path)
    assert missing is not None and "gradebox doctor" in missing


def test_a_tree_that_may_not_be_written_is_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = _v1(tmp_path)
    made: list[Path] = []

    def refuse(folder: Path, *args: object, **kwargs: object) -> None:
        if made:
            raise PermissionError(13, "Permission denied", str(folder))
        made.append(folder)
        os.mkdir(folder)

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(cgroup.CgroupError, match="Permission denied"):
        cgroup.Cgroup(0, root)
    assert made and not made[0].exists()  # what was made before is removed
