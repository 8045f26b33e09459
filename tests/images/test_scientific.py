"""The image python-scientific: its libraries work without a network, a display or a home; BigCodeBench's solutions."""

from pathlib import Path

import pytest
from tests.images import bigcodebench
from tests.images.conftest import NAMES

import gradebox
from gradebox import Verdict

pytestmark = pytest.mark.skipif(bigcodebench.IMAGE not in NAMES, reason="another image is tested")

# A program and a test of it, which passes; the same test of the program that it is told from fails.
CASES = {
    "numpy": ("import numpy as np\ndef f(n): return np.eye(n)", "assert f(3).sum() == 3"),
    "empty": ("import numpy as np\ndef f(n): return np.zeros((n, 0))", "a = f(3)\nassert a.shape == (3, 0)"),
    "other exceptions": (
        "import xmltodict\ndef f(text): return xmltodict.parse(text)",
        "assert f('<a>1</a>') == {'a': '1'}\ntry:\n    f('<a<b>')\nexcept Exception:\n    pass\nelse:\n    f.no",
    ),
    "pandas": (
        "import pandas as pd\ndef f(n): return pd.DataFrame({'a': range(n)})",
        "import pandas as pd\nassert list(f(4)['a']) == [0, 1, 2, 3]",
    ),
    "scipy": ("from scipy import stats\ndef f(x): return float(stats.norm.cdf(x))", "assert abs(f(0) - 0.5) < 1e-9"),
    "sympy": ("import sympy\ndef f(t): return str(sympy.factor(t))", "assert f('x**2 - 1') == '(x - 1)*(x + 1)'"),
    "networkx": (
        "import networkx as nx\ndef f(n): return nx.shortest_path_length(nx.path_graph(n), 0, n - 1)",
        "assert f(5) == 4",
    ),
    "sklearn": (
        "from sklearn.linear_model import LinearRegression\n"
        "def f(x, y): return LinearRegression().fit([[i] for i in x], y).coef_.round(6).tolist()",
        "assert f([0, 1, 2], [1, 3, 5]) == [2.0]",
    ),
    "matplotlib": (
        "import io\nimport matplotlib.pyplot as plt\n"
        "def f(n):\n    figure, axes = plt.subplots()\n    axes.plot(range(n))\n    out = io.BytesIO()\n"
        "    figure.savefig(out)\n    return out.getvalue()[:8]",
        r"assert f(3) == b'\x89PNG\r\n\x1a\n'",
    ),
    "axes": (
        "import seaborn\nimport matplotlib.pyplot as plt\ndef f(n): return seaborn.lineplot(x=range(n), y=range(n))",
        "axes = f(4)\nassert list(axes.lines[0].get_ydata()) == [0, 1, 2, 3]",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_its_libraries_work(engine: gradebox.Engine, name: str) -> None:
    program, test = CASES[name]
    good, bad = engine.grade(
        [program, program + "\ndef f(*given): return None"], tests=[test], image=bigcodebench.IMAGE
    )
    assert good.verdict is Verdict.PASSED, good.tests
    assert bad.verdict in (Verdict.WRONG_ANSWER, Verdict.RUNTIME_ERROR), bad.tests


def test_solutions_of_bigcodebench_pass(engine: gradebox.Engine, repository: Path) -> None:
    data = repository.parent / "shared" / "data"
    if not (data / "problems" / "bigcodebench.jsonl.gz").is_file():
        pytest.skip("no ../shared/data beside the repository")
    rows = [row for row in bigcodebench.problems(data, 40) if bigcodebench.known_reason(row["id"]) is None]
    assert len(rows) > 20
    failed = {
        name: result.tests for name, result in bigcodebench.grade(engine, rows) if result.verdict is not Verdict.PASSED
    }
    assert not failed
