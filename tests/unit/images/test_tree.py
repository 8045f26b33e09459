"""A tree from archives: layers over one another, and archives that want to write elsewhere."""

import io
import tarfile
from pathlib import Path

import pytest
from tests.unit.images.conftest import Entry, Unpack, folder, hard_link, link, listed, tar

from gradebox_engine.images.tree import BadArchive, Tree


def test_files_folders_and_links_are_unpacked(unpack: Unpack) -> None:
    root = unpack(
        [
            folder("./usr"),
            folder("./usr/bin"),
            link("./bin", "usr/bin"),
            Entry("./usr/bin/tool", b"x", mode=0o4755),
            hard_link("./usr/bin/same", "usr/bin/tool"),
            Entry("./bin/below-a-link", b"y"),
            link("./etc/mtab", "/proc/mounts"),
        ]
    )
    assert listed(root) == {
        "bin": "-> usr/bin",
        "etc": "/",
        "etc/mtab": "-> /proc/mounts",
        "usr": "/",
        "usr/bin": "/",
        "usr/bin/below-a-link": "y",
        "usr/bin/same": "x",
        "usr/bin/tool": "x",
    }
    assert (root / "usr/bin/tool").stat().st_mode & 0o7777 == 0o755  # no setuid bit
    assert (root / "usr/bin/tool").stat().st_ino == (root / "usr/bin/same").stat().st_ino


def test_whiteouts_remove_what_lower_layers_have(unpack: Unpack) -> None:
    root = unpack(
        [Entry("a/one", b"1"), Entry("a/two", b"2"), Entry("b/old", b"3"), Entry("c/deep/old", b"4"), Entry("d", b"5")],
        [
            Entry("a/.wh.one"),
            Entry("b/.wh..wh..opq"),
            Entry("b/new", b"6"),
            Entry("c/.wh.deep"),
            Entry("c/deep/new", b"7"),
            Entry(".wh.d"),
            Entry("a/.wh.not-there"),
        ],
    )
    assert listed(root) == {
        "a": "/", "a/two": "2", "b": "/", "b/new": "6", "c": "/", "c/deep": "/", "c/deep/new": "7",
    }  # fmt: skip


def test_an_opaque_marker_after_the_layers_own_files_keeps_them(unpack: Unpack) -> None:
    root = unpack([Entry("b/old", b"1"), Entry("b/in/old", b"2")], [Entry("b/in/new", b"3"), Entry("b/.wh..wh..opq")])
    assert listed(root) == {"b": "/", "b/in": "/", "b/in/new": "3"}


def test_upper_layers_replace_a_kind_by_another(unpack: Unpack) -> None:
    root = unpack(
        [Entry("a", b"1"), link("b", "c"), Entry("d/x", b"2"), Entry("c/keep", b"3")],
        [folder("a"), Entry("b", b"4"), link("d", "c")],
    )
    assert listed(root) == {"a": "/", "b": "4", "c": "/", "c/keep": "3", "d": "-> c"}


def test_what_jails_make_for_themselves_is_left_out(unpack: Unpack) -> None:
    root = unpack(
        [Entry("dev/null", kind=tarfile.CHRTYPE), Entry("proc/x"), Entry("sys/x"), Entry("tmp/x"), Entry("gradebox/x")]
    )
    assert listed(root) == {}


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ([Entry("../out")], "leads out"),
        ([Entry("a/../../out")], "leads out"),
        ([Entry("/etc/passwd")], "begins at the root"),
        ([link("a", "../../etc"), Entry("a/x")], "leads out"),
        ([link("a/b/c", "../../../x")], "leads out"),
        ([link("a", "/usr/../../etc")], "leads out"),
        ([link("a", "")], "without a proper target"),
        ([link("a", "b"), link("b", "a"), Entry("a/x")], "too many links"),
        ([hard_link("a", "../../etc/passwd")], "leads out"),
        ([hard_link("a", "/etc/passwd")], "begins at the root"),
        ([hard_link("a", "not-there")], "no file before it"),
        ([link("a", "/etc/passwd"), hard_link("b", "a")], "no file before it"),
        ([Entry("a", b"x"), Entry("a/b")], "below a file"),
        ([Entry("disk", kind=tarfile.BLKTYPE)], "device or a pipe"),
        ([Entry("usr/null", kind=tarfile.CHRTYPE)], "device or a pipe"),
        ([Entry("pipe", kind=tarfile.FIFOTYPE)], "device or a pipe"),
        ([Entry("a/.wh...")], "hides nothing"),
        ([Entry("a/.wh.")], "hides nothing"),
        ([Entry("x" * 5000)], "too long"),
        ([Entry("a/" * 200 + "x")], "folders deep"),
        ([Entry("a", b"x" * 600), Entry("b", b"x" * 600)], "more than 1000 bytes"),
        ([Entry(f"n{number}") for number in range(60)], "more than 50 entries"),
    ],
)
def test_what_leads_elsewhere_is_refused(unpack: Unpack, tmp_path: Path, entries: list[Entry], said: str) -> None:
    with pytest.raises(BadArchive, match=said):
        unpack(entries, most_bytes=1000, most_entries=50)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["root", "staging"]
    assert listed(tmp_path / "root") == {}


def test_a_link_is_followed_inside_and_nowhere_else(unpack: Unpack, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    root = unpack([link("a", str(outside)), Entry("a/x", b"inside")])
    assert list(outside.iterdir()) == []
    assert (root / str(outside).lstrip("/") / "x").read_text() == "inside"


@pytest.mark.parametrize(
    "packed",
    [
        b"not a tar archive at all" * 100,
        tar([Entry("a", b"x" * 5000)])[:1024],
        tar([Entry("a", b"x" * 50)]).replace(b"ustar", b"\0\0\0\0\0")[:100],
    ],
)
def test_what_is_no_archive_is_refused(tmp_path: Path, packed: bytes) -> None:
    with pytest.raises(BadArchive, match="it: not a tar archive"):
        Tree(tmp_path).add_tar(io.BytesIO(packed), "it")


def test_a_huge_header_is_refused_before_it_is_read(tmp_path: Path) -> None:
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, 1 << 40
    with pytest.raises(BadArchive, match="extended header of 1099511627776 bytes"):
        Tree(tmp_path).add_tar(io.BytesIO(info.tobuf(tarfile.GNU_FORMAT) + bytes(2048)), "it")
