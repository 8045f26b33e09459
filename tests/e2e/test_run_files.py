"""Files that a run is given, and files that it leaves."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import gradebox
from gradebox import InvalidRequest, Verdict

COPY = """
import os
text = open("in/a.txt").read() + open("b.bin", "rb").read().hex()
os.makedirs("out", exist_ok=True)
open("out/c.txt", "w").write(text)
print(sorted(os.listdir()))
"""


def test_files_go_in_and_come_out(engine: gradebox.Engine) -> None:
    files: dict[str, str | bytes] = {"in/a.txt": "text", "b.bin": bytes(range(256))}
    result = engine.run(COPY, files=files, fetch=["out/c.txt", "not-there"])
    assert (result.verdict, result.stdout) == (Verdict.PASSED, b"['b.bin', 'in', 'out']\n")
    assert dict(result.files) == {"out/c.txt": b"text" + bytes(range(256)).hex().encode()}


def test_a_run_without_files_has_none_of_another(engine: gradebox.Engine) -> None:
    engine.run("", files={"left": "x"}, fetch=["left"])
    result = engine.run("import os; print(os.listdir())", fetch=["left"])
    assert (result.stdout, dict(result.files)) == (b"[]\n", {})


def test_files_come_back_however_the_program_ends(engine: gradebox.Engine) -> None:
    for end, verdict in (("1/0", Verdict.RUNTIME_ERROR), ("raise SystemExit(3)", Verdict.RUNTIME_ERROR),
                         ("import os; os.kill(os.getpid(), 9)", Verdict.RUNTIME_ERROR)):  # fmt: skip
        result = engine.run(f"open('a', 'w').write('x')\n{end}", fetch=["a"])
        assert (result.verdict, dict(result.files)) == (verdict, {"a": b"x"}), end


@pytest.mark.parametrize(
    "what",
    [
        "os.symlink('/etc/passwd', 'x')",
        "os.mkdir('x')",
        "os.mkfifo('x')",
        "open('x', 'wb').truncate(30 << 20)",
        "os.mkdir('d'); os.symlink('/etc', 'e'); os.link('/etc/passwd', 'x') if os.path.exists('/etc/no') else None",
    ],
)
def test_only_plain_files_of_bounded_size_come_back(engine: gradebox.Engine, what: str) -> None:
    result = engine.run(f"import os\n{what}", fetch=["x", "e/passwd"])
    assert (result.verdict, dict(result.files)) == (Verdict.PASSED, {}), result


@pytest.mark.parametrize("name", ["../a", "/a", "a/../../b", ".", "a//b", "", "a\n", ".a"])
def test_a_name_that_leads_out_is_refused(engine: gradebox.Engine, name: str) -> None:
    with pytest.raises(InvalidRequest, match=r"files\[0\].name"):
        engine.run("", files={name: "x"})
    with pytest.raises(InvalidRequest, match=r"fetch_files\[0\]"):
        engine.run("", fetch=[name])


def test_files_are_bounded_by_the_disk_limit(engine: gradebox.Engine) -> None:
    with pytest.raises(InvalidRequest, match="disk_bytes"):
        engine.run("", files={"a": b"x" * 10_000}, limits={"disk_bytes": 8192})
    with pytest.raises(InvalidRequest, match="below another file"):
        engine.run("", files={"a": "x", "a/b": "y"})


def test_the_command_line(jails: None, tmp_path: Path) -> None:
    (tmp_path / "copy.py").write_text("open('out.txt', 'w').write(open('data.txt').read().upper())")
    (tmp_path / "some.txt").write_text("text")
    command = [sys.executable, "-m", "gradebox_engine", "run", "copy.py", "--file", "data.txt=some.txt",
               "--fetch", "out.txt=got.txt", "--json"]  # fmt: skip
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["files"] == {"out.txt": "got.txt"}
    assert (tmp_path / "got.txt").read_text() == "TEXT"
