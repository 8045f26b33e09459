"""What a Java source declares."""

import time

import pytest

from gradebox_engine.worker.java import declared


@pytest.mark.parametrize(
    ("source", "file_name", "main_class"),
    [
        ("public class Adder { MAIN }", "Adder.java", "Adder"),
        ("class A {} public class B { public static void main(String... a) {} }", "B.java", "B"),
        ("class Solution { int f() { return 1; } } class Main { MAIN }", "Main.java", "Main"),
        ("class A { STATIC } class Main { STATIC }", "Main.java", "Main"),
        ("public final class Last { static public void main(final String[] a) {} }", "Last.java", "Last"),
        ("public interface Shape {} class Run { MAIN }", "Shape.java", "Run"),
        ("package a.b; public class C { public static void main(String[] x) {} }", "C.java", "a.b.C"),
        ("public record Point(int x) { MAIN }", "Point.java", "Point"),
        ("public enum Color { RED; MAIN }", "Color.java", "Color"),
        ("// public class No {\npublic class Yes { /* class Main */ MAIN }", "Yes.java", "Yes"),
        ('class S { String s = "public class No { {"; char c = \'{\'; MAIN }', "S.java", "S"),
        ('class T { String s = """\npublic class No {\n"""; MAIN }', "T.java", "T"),
        ("class Outer { public static class Inner {} MAIN }", "Outer.java", "Outer"),
        ("@interface X {} class Y { public static <T> void main(String[] a) {} }", "Y.java", "Y"),
        ("", "Main.java", "Main"),
        ("this is no Java {{{", "Main.java", "Main"),
    ],
)  # fmt: skip
def test_names(source: str, file_name: str, main_class: str) -> None:
    method = "static void main(String[] a) {}"
    found = declared(source.replace("MAIN", f"public {method}").replace("STATIC", method))
    assert (found.file_name, found.main_class) == (file_name, main_class)


@pytest.mark.parametrize(
    "text", ["/*" * 500_000, '"' * 1_000_000, "'\\" * 500_000, "class " * 200_000, "{" * 1_000_000, '"""' * 300_000]
)
def test_no_source_takes_long(text: str) -> None:
    before = time.process_time()
    declared(text)
    assert time.process_time() - before < 5
