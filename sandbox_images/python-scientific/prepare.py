"""Runs in the image when it is built.

Matplotlib's list of fonts is made once, and found where nothing can be written. And unittest gets back the names that
Python 3.12 removed: published tests, BigCodeBench's among them, still use them.
"""

import os
from pathlib import Path

FOLDER = Path("/opt/python/share/matplotlib")  # MPLCONFIGDIR in the manifest
PACKAGE = Path("/opt/python/lib/python3.12/site-packages/matplotlib")

# Matplotlib wants a folder that it can write to, or it does not start; the fork server has none.
NEEDS_WRITABLE = "if os.access(str(configdir), os.W_OK) and configdir.is_dir():"
READABLE_DOES = "if configdir.is_dir():"

UNITTEST = Path("/opt/python/lib/python3.12/unittest/case.py")
REMOVED = {
    "assertEquals": "assertEqual",
    "assertNotEquals": "assertNotEqual",
    "assert_": "assertTrue",
    "assertAlmostEquals": "assertAlmostEqual",
    "assertNotAlmostEquals": "assertNotAlmostEqual",
    "assertRegexpMatches": "assertRegex",
    "assertNotRegexpMatches": "assertNotRegex",
    "assertRaisesRegexp": "assertRaisesRegex",
}


def restore_unittest() -> None:
    """Adds the removed names as what they were: other names of the same methods."""
    lines = [f"TestCase.{old} = TestCase.{new}" for old, new in REMOVED.items()]
    lines.append("TestCase.assertDictContainsSubset = lambda self, part, whole, msg=None: self.assertEqual(")
    lines.append("    {**whole, **part}, whole, msg)")
    with UNITTEST.open("a") as module:
        module.write("\n\n# Names that Python 3.12 removed.\n" + "\n".join(lines) + "\n")


def main() -> None:
    """Patches Matplotlib and lets it make its list."""
    restore_unittest()
    module = PACKAGE / "__init__.py"
    source = module.read_text()
    if source.count(NEEDS_WRITABLE) != 1:
        raise SystemExit("this Matplotlib looks for its folder in another way: adapt prepare.py")
    module.write_text(source.replace(NEEDS_WRITABLE, READABLE_DOES))
    FOLDER.mkdir(parents=True)
    os.environ["MPLCONFIGDIR"] = str(FOLDER)
    from matplotlib import font_manager

    fonts = len(font_manager.fontManager.ttflist)
    if not fonts or not list(FOLDER.glob("fontlist-*.json")):
        raise SystemExit(f"Matplotlib wrote no list of its {fonts} fonts")


main()
