"""Which languages can be tried here, and the engine for that; loud where an image is not built."""

import functools

import pytest
from tests.conftest import in_ci
from tests.images.conftest import NAMES

import gradebox
from gradebox_engine.config import load_config
from gradebox_engine.images.build import is_outdated
from gradebox_engine.images.recipe import recipes_folder
from gradebox_engine.images.store import Store

SUFFIXES = {
    ".c": "c", ".cpp": "cpp", ".js": "javascript", ".ts": "typescript", ".java": "java", ".go": "go", ".rs": "rust",
    ".sh": "bash", ".py": "python",
}  # fmt: skip
BUILT_IN_CI = ("cpp",)
# Reads two numbers, writes their sum.
SUMS = {
    "bash": 'read a b; echo "$((a + b))"\n',
    "c": '#include <stdio.h>\nint main(void) { int a, b; scanf("%d%d", &a, &b); printf("%d\\n", a + b); return 0; }\n',
    "cpp": "#include <bits/stdc++.h>\nint main() { int a, b; std::cin >> a >> b; std::cout << a + b << '\\n'; }\n",
    "cpp20": "#include <iostream>\n#include <span>\nint main() { int a, b; std::cin >> a >> b; std::cout << a + b; }\n",
    "go": 'package main\n\nimport "fmt"\n\nfunc main() {\n\tvar a, b int\n'
    "\tfmt.Scan(&a, &b)\n\tfmt.Println(a + b)\n}\n",
    "java": "import java.util.Scanner;\npublic class Sum { public static void main(String[] x) {"
    " Scanner in = new Scanner(System.in); System.out.println(in.nextInt() + in.nextInt()); } }\n",
    "javascript": "const [a, b] = require('fs').readFileSync(0, 'utf8').split(' ').map(Number);\nconsole.log(a + b);\n",
    "python": "print(sum(map(int, input().split())))\n",
    "rust": "use std::io::*;\nfn main() { let mut s = String::new(); stdin().read_to_string(&mut s).unwrap();"
    ' println!("{}", s.split_whitespace().map(|x| x.parse::<i64>().unwrap()).sum::<i64>()); }\n',
    "typescript": "import * as fs from 'fs';\n"
    "const [a, b]: number[] = fs.readFileSync(0, 'utf8').split(' ').map(Number);\n"
    "console.log(a + b);\n",
}
SUMS["tstranspiled"] = SUMS["typescript"]


def need(engine: gradebox.Engine, language: str) -> None:
    """Skips the test when no image of the present recipe has the language; fails where CI builds that image."""
    image_name = {"c": "cpp", "cpp20": "cpp", "tstranspiled": "typescript"}.get(language, language)
    reason = f"image {image_name} is not built (gradebox images build {image_name})"
    for image in engine.info().images:
        if language in image.languages:
            if image.name in NAMES or not _is_outdated(image.name):  # those were built for this run
                return
            reason = f"image {image.name} was built of another recipe (gradebox images build {image.name})"
    if in_ci() and image_name in BUILT_IN_CI:
        pytest.fail(f"{reason}; in continuous integration that is a failure", pytrace=False)
    pytest.skip(f"NOT TESTED: {reason}")


@functools.cache
def _is_outdated(image_name: str) -> bool:
    recipe = recipes_folder() / image_name
    return recipe.is_dir() and is_outdated(Store(load_config({}).image_store).find(image_name), recipe)
