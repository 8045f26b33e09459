"""Every language that is built here: tests by stdin and by text that is appended to the program, and every verdict."""

from pathlib import Path
from typing import Any

import pytest
from tests.images.offered import need
from tests.images.published import HUMANEVALPACK, LANGUAGES, MBXP, items, known_reason, result_of

import gradebox
from gradebox import Seal, Verdict

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"

# name: a program with f(x) = x + 1, how a test calls it, what goes before them
WHOLE: dict[str, tuple[str, str, str]] = {
    "c": ("int f(int x) { return x + 1; }", "int main(void) { assert(f(1) == %d); return 0; }", "#include <assert.h>"),
    "cpp": ("int f(int x) { return x + 1; }", "int main() { assert(f(1) == %d); }", "#include <cassert>"),
    "cpp20": ("auto f(auto x) { return x + 1; }", "int main() { assert(f(1) == %d); }", "#include <cassert>"),
    "javascript": ("const f = x => x + 1;", "console.assert(f(1) === %d);", ""),
    "typescript": ("const f = (x: number) => x + 1;", "console.assert(f(1) === %d);", ""),
    "tstranspiled": ("const f = (x: number): string => x + 1;", "console.assert(f(1) === %d);", ""),
    "java": (
        "class Solution { int f(int x) { return x + 1; } }",
        "public class Check { public static void main(String[] a) {"
        " if (new Solution().f(1) != %d) throw new AssertionError(); } }",
        "import java.util.*;",
    ),
    "go": (
        "func F(x int) int { return x + 1 }",
        'func TestF(t *testing.T) { if F(1) != %d { t.Fatal("wrong") } }',
        'package main\n\nimport "testing"\n',
    ),
    "rust": (
        "fn f(x: i32) -> i32 { x + 1 }",
        "#[cfg(test)]\nmod tests {\n    use super::*;\n    #[test]\n    fn one() { assert_eq!(f(1), %d); }\n}\n",
        "",
    ),
    "bash": ("f() { echo $(($1 + 1)); }", '[ "$(f 1)" = %d ]', "set -e"),
}
FAILS: dict[str, tuple[str, str, str]] = {  # what does not compile, what ends with status 3, what reads past its end
    "c": ("int main(void) { return x; }", "int main(void) { return 3; }", "int main(void) { return *(int *)8; }"),
    "cpp": ("int main() { return x; }", "int main() { return 3; }", "int main() { throw 1; }"),
    "javascript": ("let x = ;", "process.exit(3)", "null.x"),
    "tstranspiled": ("let x = ;", "process.exit(3)", "const x: number = null; x.y;"),
    "typescript": ('const x: number = "a";', "process.exit(3)", "const x: any = null; x.y;"),
    "java": (
        "class A { int x = ; }",
        "class A { public static void main(String[] a) { System.exit(3); } }",
        "class A { public static void main(String[] a) { System.out.println(a[1]); } }",
    ),
    "go": (
        "package main\nfunc main() { x }",
        'package main\nimport "os"\nfunc main() { os.Exit(3) }',
        "package main\nfunc main() { var m map[int]int; m[1] = 2 }",
    ),
    "rust": ("fn main() { x }", "fn main() { std::process::exit(3) }", 'fn main() { panic!("no") }'),
    "bash": ("if true", "exit 3", "kill -SEGV $$"),
}

CHARACTERS = {  # programs that count those of their input
    "c": '#include <locale.h>\n#include <stdio.h>\n#include <wchar.h>\n'
    'int main(void) { wchar_t t[9]; setlocale(LC_ALL, ""); scanf("%8ls", t); printf("%zu", wcslen(t)); }',
    "bash": 'read -r text; echo ${#text}',
    "javascript": "console.log(require('fs').readFileSync(0, 'utf8').length)",
    "java": "class A { public static void main(String[] a) {"
    " System.out.println(new java.util.Scanner(System.in).next().length()); } }",
    "go": 'package main\nimport "fmt"\nfunc main() { var s string; fmt.Scan(&s); fmt.Println(len([]rune(s))) }',
    "rust": "fn main() { let mut s = String::new(); std::io::stdin().read_line(&mut s).unwrap();"
    ' println!("{}", s.chars().count()); }',
}  # fmt: skip


@pytest.mark.parametrize("language", WHOLE)
def test_text_that_is_appended_to_the_program(engine: gradebox.Engine, language: str) -> None:
    need(engine, language)
    program, test, setup = WHOLE[language]
    problem = {"tests": [test % 2, test % 3], "language": language, "test_setup": setup}
    passed, failed = engine.grade([program], problem=problem)[0].tests
    assert (passed.verdict, passed.seal) == (Verdict.PASSED, Seal.IN_PROCESS), passed
    assert failed.verdict in (Verdict.WRONG_ANSWER, Verdict.RUNTIME_ERROR), failed
    if language != "bash":  # its tests say no more than that they failed
        assert failed.verdict is Verdict.WRONG_ANSWER, failed


@pytest.mark.parametrize("language", WHOLE)
def test_a_test_beside_the_program_can_be_refused(engine: gradebox.Engine, language: str) -> None:
    need(engine, language)
    program, test, setup = WHOLE[language]
    problem = {"tests": [test % 2], "language": language, "test_setup": setup, "min_seal": "SEALED"}
    assert engine.grade([program], problem=problem)[0].verdict is Verdict.SKIPPED


@pytest.mark.parametrize("language", FAILS)
def test_how_programs_fail(engine: gradebox.Engine, language: str) -> None:
    need(engine, language)
    tests: list[Any] = [{"stdin": "", "expected_stdout": ""}]
    compiled, status, crashed = (r.tests[0] for r in engine.grade(FAILS[language], tests=tests, language=language))
    assert compiled.verdict is Verdict.COMPILE_ERROR and compiled.message, compiled
    assert status.verdict is Verdict.RUNTIME_ERROR and "exit status 3" in status.message, status
    assert crashed.verdict is Verdict.RUNTIME_ERROR, crashed
    signals = {"c": "SIGSEGV", "cpp": "SIGABRT", "bash": "SIGSEGV"}
    assert signals.get(language, "exit status") in crashed.message
    ran = engine.run(FAILS[language][0], language=language)
    assert ran.verdict is Verdict.COMPILE_ERROR and ran.exit_code is None and ran.message


def test_memory_of_a_compiled_program_that_is_stopped(engine: gradebox.Engine) -> None:
    """It is the program's, not that of the process which waits for it."""
    need(engine, "c")
    source = """
#include <stdlib.h>
#include <string.h>
int main(void) {
    volatile char *block = malloc(60 << 20);
    memset((char *)block, 1, 60 << 20);
    for (;;) block[0]++;
}
"""
    tests: list[Any] = [{"stdin": "", "expected_stdout": ""}]
    (ran,) = engine.grade([source], tests=tests, language="c", limits={"cpu_time_s": 1})[0].tests
    assert ran.verdict is Verdict.TIME_LIMIT and 60 << 20 < ran.memory_bytes < 120 << 20, ran


@pytest.mark.parametrize("language", ["c", "javascript", "bash"])
def test_files_of_a_run(engine: gradebox.Engine, language: str) -> None:
    need(engine, language)
    copy = {
        "c": '#include <stdio.h>\nint main(void) { FILE *i = fopen("d/in", "r"), *o = fopen("out", "w");'
        " for (int c; (c = fgetc(i)) != EOF;) fputc(c + 1, o); }",
        "javascript": "const fs = require('fs'); fs.writeFileSync('out', fs.readFileSync('d/in', 'utf8') + '!')",
        "bash": "tr a-y b-z < d/in > out",
    }[language]
    result = engine.run(copy, language=language, files={"d/in": "abc"}, fetch=["out", "d/in"])
    assert result.verdict is Verdict.PASSED, result
    assert dict(result.files) == {"out": {"javascript": b"abc!"}.get(language, b"bcd"), "d/in": b"abc"}


def test_a_compiled_program_can_talk_with_a_judge(engine: gradebox.Engine) -> None:
    need(engine, "c")
    judge = "import sys\nprint(20, flush=True)\nsys.exit(0 if int(sys.stdin.readline()) == 40 else 1)"  # it doubles
    program = '#include <stdio.h>\nint main(void) { int n; scanf("%d", &n); printf("%d\\n", 2 * n); return 0; }'
    tests: list[Any] = [{"stdin": "", "expected_stdout": "", "checker": {"kind": "interactive", "source": judge}}]
    good, bad = engine.grade([program, program.replace("2 *", "3 *")], tests=tests, language="c")
    assert (good.verdict, bad.verdict) == (Verdict.PASSED, Verdict.WRONG_ANSWER)


TYPESCRIPT = {  # what Node.js runs, and a type check against a browser's library, in one scope with it, refuses
    "a browser's names": "class Node<T> { constructor(public value: T) {} }\nlet history = 1, name = 'x', length = 2;\n"
    "function print(x: number) { console.log(x); }\nprint(new Node(history).value);",
    "a global interface's name": "interface Event { id: number }\nconst e: Event = { id: 1 };\nconsole.log(e.id);",
    "declared by hand": "declare const process: any; declare function require(name: string): any;\n"
    "process.stdout.write(String(require('fs').existsSync('/') ? 1 : 0));",
    "a package": "import _ from 'lodash';\nimport { isEqual } from 'lodash';\n"
    "console.log(_.sum([isEqual([1], [1]) ? 1 : 0]));",
    "more for a built-in type": "declare global { interface Array<T> { first(): T } }\n"
    "Array.prototype.first = function () { return this[0]; };\nconsole.log([1].first());\nexport {};",
    "what Node.js has of the web": "const t = new TextEncoder(), u = new URL('http://a/b');\n"
    "setTimeout(() => console.log(structuredClone([t.encode('x').length])[0]), 1);",
}


@pytest.mark.parametrize("program", TYPESCRIPT.values(), ids=TYPESCRIPT)
def test_typescript_is_checked_as_what_node_runs(engine: gradebox.Engine, program: str) -> None:
    need(engine, "typescript")
    (result,) = engine.grade([program], tests=[{"stdin": "", "expected_stdout": "1"}], language="typescript")
    assert result.verdict is Verdict.PASSED, result.tests


@pytest.mark.parametrize("language", CHARACTERS)
def test_a_character_is_one_whatever_its_bytes(engine: gradebox.Engine, language: str) -> None:
    need(engine, language)
    tests: list[Any] = [{"stdin": "h\u00e9\u4e2d", "expected_stdout": "3"}]
    result = engine.grade([CHARACTERS[language]], tests=tests, language=language)[0]
    assert result.verdict is Verdict.PASSED, result.tests


@pytest.mark.parametrize("language", LANGUAGES)
def test_published_problems(engine: gradebox.Engine, language: str) -> None:
    """Some of the published ones: the reference solution passes, the one with a bug does not."""
    name = MBXP if language in ("typescript", "tstranspiled") else HUMANEVALPACK
    if not (DATA / "problems" / name).is_file():
        pytest.skip("the published data is not here")
    need(engine, language)
    chosen = list(items(DATA, [language], 40, [name], ["canonical_solution", "buggy_solution"]))
    assert len(chosen) >= 8
    for graded in engine.grade_many(chosen):
        _, kind, identifier, result = result_of(graded)
        if kind == "canonical_solution":
            assert result.verdict is Verdict.PASSED or known_reason(identifier, language), (identifier, result.tests)
        else:
            assert result.verdict not in (Verdict.PASSED, Verdict.ENGINE_ERROR), (identifier, result.tests)
