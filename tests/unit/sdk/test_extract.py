"""Which program is taken from what a model wrote."""

import gzip
import json
import textwrap
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradebox import extract_code

PROGRAM = "def f(x):\n    return x + 1\n"
OTHER = "def g(x):\n    return x\n"


def fenced(program: str = PROGRAM, word: str = "python", fence: str = "```") -> str:
    return f"{fence}{word}\n{program}{fence}\n"


PLAIN = {
    "a block": f"Sure, here it is:\n\n{fenced()}\nThis adds one.",
    "tildes": fenced(fence="~~~"),
    "a longer fence": fenced(fence="`````"),
    "a word in capitals": fenced(word="Python"),
    "another name of Python": fenced(word="py3"),
    "attributes after the word": fenced(word='python title="f.py"'),
    "an attribute with a dot": fenced(word="{.python .numberLines}"),
    "a file name after the word": fenced(word="python:main.py"),
    "white space around the word": fenced(word=" python  "),
    "a block in no language": fenced(word=""),
    "no newline before the end": f"```python\n{PROGRAM}```",
    "carriage returns": fenced().replace("\n", "\r\n"),
    "in a list": "1. Do this:\n\n   ```python\n   def f(x):\n       return x + 1\n   ```\n2. Be glad.",
    "in a list, with tabs": "- Do this:\n\t```python\n\tdef f(x):\n\t    return x + 1\n\t```\n",
    "indented inside": "```python\n    def f(x):\n        return x + 1\n```",
    "an indented fence, not its lines": f"   ```python\n{PROGRAM}   ```\n",
    "a block of Markdown around": f"```markdown\n# Answer\n{fenced()}```\nDone. {fenced('1', '')}",
    "a longer block of Markdown around": f"````md\n{fenced(OTHER, '')}\n{fenced()}````\n",
    "the fence glued to the sentence before": f"The code:```python\n{PROGRAM}```",
    "the fence glued to the last line": "```python\ndef f(x):\n    return x + 1```\nThat is all.",
    "both": "The code:```python\ndef f(x):\n    return x + 1```\nThat is all.",
    "cut off": f"```python\n{PROGRAM}",
    "cut off, in no language": f"```\n{PROGRAM}",
    "cut off after a block of output": f"```\n42\n```\n```python\n{PROGRAM}",
    "the fence was in the prompt": f"{PROGRAM}```\nThis adds one:\n```\nf(1)\n```\n",
    "no fence": PROGRAM,
    "no fence, prose around": f"Here is the program.\n\n{PROGRAM}\nThis function adds one.\n",
    # which block
    "the last block": fenced(OTHER) + fenced(),
    "not the output after it": fenced() + "It prints:\n```\n2\n```\n",
    "not the shell after it": fenced() + "```bash\npython f.py\n```\n",
    "not another language": "```cpp\nint f(int x);\n```\n" + fenced(word="") + "```json\n{}\n```\n",
    "not one that is cut off": fenced() + f"In short:\n```python\n{OTHER}",
    "not an empty one": fenced() + "```python\n\n```\n",
    "a fence with a word ends an open block": f"```python\n{OTHER}\nOr better:\n{fenced()}",
    # thoughts
    "after its thoughts": f"<think>\n{fenced(OTHER)}</think>\n{fenced()}",
    "thoughts with an open fence": f"<think>\n```python\n{OTHER}</think>\n{fenced()}",
    "thoughts that the prompt opened": f"Hm.\n{fenced(OTHER)}</think>\n{fenced()}",
    "thoughts with another name": f"<thinking>{fenced(OTHER)}</thinking>{fenced()}",
    "thoughts in capitals": f"<THINK>{fenced(OTHER)}</THINK>\n{fenced()}",
    "thoughts about thoughts": f"<think>a <think> tag</think>{fenced()}<think>{fenced(OTHER)}</think>",
    "new thoughts, cut off": f"{fenced()}<think>But wait:\n{fenced(OTHER)}",
    "between tags of an answer": f"<think>x</think><answer>\n{fenced()}</answer>\n{fenced(OTHER)}",
    "an answer without a fence": f"<answer>\n{PROGRAM}</answer>",
    "an answer cut off": f"{fenced(OTHER)}<answer>\n{fenced()}",
    # chat templates
    "an end token glued on": f"{fenced().rstrip()}<|im_end|>",
    "a hallucinated turn": f"{fenced()}<|im_end|>\n<|im_start|>user\ng?<|im_end|>\n<|im_start|>assistant\n"
    f"{fenced(OTHER)}",
    "padding": f"{PROGRAM}</s></s></s>",
    "ChatML": f"<|im_start|>user\nMend:\n{fenced(OTHER)}<|im_end|>\n<|im_start|>assistant\n{fenced()}<|im_end|>",
    "Llama": "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nMend:\n"
    f"{fenced(OTHER)}<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n{fenced()}<|eot_id|>",
    "Gemma": f"<bos><start_of_turn>user\n{fenced(OTHER)}<end_of_turn>\n<start_of_turn>model\n{fenced()}<end_of_turn>",
    "Mistral": f"<s>[INST] Mend {fenced(OTHER)} [/INST] {fenced()}</s>",
    "DeepSeek": "<\uff5cbegin\u2581of\u2581sentence\uff5c><\uff5cUser\uff5c>"
    f"{fenced(OTHER)}<\uff5cAssistant\uff5c>{fenced()}",
    "harmony": f"<|channel|>analysis<|message|>{fenced(OTHER)}<|end|>"
    f"<|start|>assistant<|channel|>final<|message|>{fenced()}<|return|>",
    "ChatML, unfenced": f"<|im_start|>assistant\n{PROGRAM}<|im_end|>",
}


@pytest.mark.parametrize("text", PLAIN.values(), ids=PLAIN.keys())
def test_the_program_is_found(text: str) -> None:
    assert (extract_code(text) or "").replace("\r", "") == PROGRAM


NONE = {
    "nothing": "",
    "white space": " \n\t\n",
    "prose": "I am sorry, but I cannot write that.\nNote: x is 3.",
    "prose that ends in a colon": "For example, in the loop:\nit counts.",
    "another language only": fenced("int f(int x);\n", "cpp"),
    "an empty block": "```python\n\n```",
    "thoughts that never end": f"<think>\n{fenced()}\nBut wait",
    "harmony thoughts only": f"<|channel|>analysis<|message|>{fenced()}",
    "a fence alone": "```",
    "an assistant that says nothing": f"<|im_start|>user\n{fenced()}<|im_end|>\n<|im_start|>assistant\n",
    "thoughts only": f"{fenced()}</think>",
}


@pytest.mark.parametrize("text", NONE.values(), ids=NONE.keys())
def test_where_there_is_none(text: str) -> None:
    assert extract_code(text) is None


UNTOUCHED = {
    "a docstring with fences": 'def f(x):\n    """Adds.\n\n    ```python\n    f(1)\n    ```\n    """\n    return x\n',
    "a fence in a string": "mark = '```'\nprint(mark)\n",
    "an end token in a string": "print('<|im_end|>')\nprint(\"</think>\", '</s>')\n",
    "a tag in a string": 'x = "<think>"\ny = "<answer>"\n',
    "a longer fence inside": "x = '''\n``\n'''\n",
    "tildes inside": "x = '''\n~~~\n'''\n",
    "other separators of lines": "x = 'a\x0bb\x0cc\u2028d'\n",
}


@pytest.mark.parametrize("program", UNTOUCHED.values(), ids=UNTOUCHED.keys())
def test_a_program_stays_as_it_is(program: str) -> None:
    assert extract_code(fenced(program)) == program


def test_the_entry_point_chooses_among_blocks() -> None:
    usage = fenced("print(f(1))\n")
    assert extract_code(fenced() + usage) == "print(f(1))\n"
    assert extract_code(fenced() + usage, entry_point="f") == PROGRAM
    assert extract_code(fenced(OTHER) + fenced() + usage, entry_point="g") == OTHER
    method = "class Solution:\n    def f(self, x):\n        return x\n"
    assert extract_code(fenced(method) + usage, entry_point="f") == method
    assert extract_code(fenced("f = lambda x: x\n") + usage, entry_point="f") == "f = lambda x: x\n"
    assert extract_code(fenced() + usage, entry_point="h") == "print(f(1))\n"  # nobody defines it: the last
    assert extract_code(fenced("def f2(): pass\n") + usage, entry_point="f") == "print(f(1))\n"


def test_another_language() -> None:
    text = fenced("int main() {}\n", "c++") + fenced()
    assert extract_code(text, language="cpp") == "int main() {}\n"
    assert extract_code(text, language="fortran") is None
    assert extract_code("int main() {}", language="cpp") is None


def test_a_whole_block_on_one_line() -> None:
    assert extract_code("Do ```python print(1)``` or") is None  # in the middle of prose
    assert extract_code("```python print(1)```") == "print(1)\n"


FENCES = ["```", "````", "~~~", "```python", "\n", "\n", " ", "    ", "\t", "`", "markdown", "\r"]
CODE = ["def f():", "return", '"""', "'", '"', "x = 1"]
TAGS = ["<think>", "</think>", "<answer>", "</answer>", "<|im_start|>assistant", "<|im_end|>", "[/INST]"]
PIECES = st.sampled_from([*FENCES, *CODE, *TAGS])


@given(st.one_of(st.text(max_size=300), st.lists(PIECES, max_size=40).map("".join)))
def test_it_never_raises(text: str) -> None:
    program = extract_code(text, entry_point="f")
    assert program is None or program.strip()
    assert program is None or program.endswith("\n")
    extract_code(text, language="cpp")


HOSTILE = [
    *FENCES,
    *TAGS,
    "```\n",
    "a, ",
    "from a ",
    "import a",
    "x.y",
    "def f\n",
    "if a in b ",
    "for x in ",
    "(",
    "1 ",
    "{",
]


@pytest.mark.parametrize("piece", HOSTILE)
def test_time_is_linear(piece: str) -> None:
    """With a quadratic step each of these would take minutes at least."""
    many = piece * (300_000 // len(piece))
    begun_s = time.process_time()
    for text in (
        many,
        "x" + many,
        "<s>" + many,
        many + "`x",
        " " * 150_000 + "```python\n" + many,
        "```python\n " + many,
    ):
        extract_code(text, entry_point="f")
    assert time.process_time() - begun_s < 30


def test_programs_of_real_models(repository: Path) -> None:
    """Each survives being wrapped as models wrap, and those that are whole programs being not wrapped at all."""
    files = sorted((repository.parent / "shared" / "data" / "samples").glob("*_mixed.jsonl.gz"))
    if not files:
        pytest.skip("no ../shared/data beside the repository")
    seen = bare = bare_same = 0
    for path in files:
        with gzip.open(path, "rt") as rows:
            programs = [program for row in rows for program in json.loads(row)["programs"]]
        for program in programs:
            body = program.strip("\n").rstrip()
            if "```" in body or not body or body[0] in " \t":
                continue
            seen += 1
            listed = textwrap.indent(program, "   ", lambda line: True)
            for text in (
                f"Sure!\n```python\n{program}\n```\nThis works because x = 3.",
                f"<think>```python\nx = 1\n```</think>\n1. So:\n   ```py\n{listed}\n   ```\n",
                f"```\n{program}\n```\n```bash\npython main.py\n```",
                f"```python\n{program}",
            ):
                assert (extract_code(text) or "").strip() == body, text
            bare += 1
            bare_same += (extract_code(program) or "").strip() == body
    assert seen > 10_000
    assert bare_same > 0.99 * bare


TASK_END = "def f(x):\n    return x + 1\n```\n[Task End"  # as a model of 2023 ended its answers


@settings(max_examples=50)
@given(st.sampled_from([TASK_END, f"{PROGRAM}```", f"\n\n{PROGRAM}\n```\nExplanation"]))
def test_answers_to_a_prompt_that_opened_the_fence(text: str) -> None:
    assert extract_code(text) == PROGRAM
