"""Whose word a test takes: does it compare something of the program with something else of the program?

Follows the program's names through assignments, loops and calls of the test's own functions, over the text alone,
and errs on the side of "the program's". Names are told apart by top-level function or method.
"""

import ast

_COMPARING = frozenset(
    "isclose allclose array_equal equals array_equiv approx issubset issuperset isdisjoint samefile cmp".split()
)
# Builtins and methods that compare or hash the elements that they are given.
_ORDERING = frozenset(
    "sorted min max set frozenset dict Counter index count remove sort heapify heappush insort".split()
)
_ONE_OPERAND = frozenset("assertTrue assertFalse assertIsNone assertIsNotNone assert_ assertRaises".split())
_ROUNDS = 6
_FOLLOWED = (
    *(ast.Assign, ast.AugAssign, ast.AnnAssign, ast.NamedExpr, ast.For, ast.comprehension, ast.withitem),
    *(ast.Return, ast.Call, ast.Compare, ast.BinOp, ast.Assert, ast.FunctionDef, ast.AsyncFunctionDef),
    *(ast.Dict, ast.Set, ast.DictComp, ast.SetComp, ast.Subscript),
)
type _Region = ast.FunctionDef | ast.AsyncFunctionDef | None


class Taint:
    """What is the program's in one test module. `program` are the program's names."""

    def __init__(self, tree: ast.Module, program: frozenset[str]) -> None:
        self._program = program
        self._names: dict[_Region, set[str]] = {}
        self._attributes: set[str] = set()
        self._regions = _regions(tree)
        self._functions = {n.name: n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)}
        self._home = {n: r for r, nodes in self._regions if r is not None for n in nodes}
        self._local = {r: _locals(r) for r, _ in self._regions if r is not None}
        for _ in range(_ROUNDS):
            before = self._size()
            for region, nodes in self._regions:
                for node in nodes:
                    self._follow(region, node)
            if self._size() == before:
                break

    def _size(self) -> int:
        return len(self._attributes) + sum(len(n) for n in self._names.values())

    def name(self, region: _Region, name: str) -> bool:
        """Whether a name holds something of the program's in this region."""
        if name in self._names.get(region, ()):
            return True
        if region is not None and name in self._local[region]:
            return False
        return name in self._program or name in self._names.get(None, ())

    def of(self, region: _Region, node: ast.AST) -> bool:
        """Whether an expression has anything of the program's in it."""
        for child in ast.walk(node):
            if isinstance(child, ast.Name) and self.name(region, child.id):
                return True
            if isinstance(child, ast.Attribute) and child.attr in self._attributes:
                if isinstance(child.value, ast.Name) and child.value.id in ("self", "cls"):
                    return True
        return False

    def _mark(self, region: _Region, target: ast.AST) -> None:
        match target:
            case ast.Name(id=name):
                self._names.setdefault(region, set()).add(name)
            case ast.Attribute(value=ast.Name(id="self" | "cls"), attr=attr):
                self._attributes.add(attr)
            case ast.Attribute(value=value) | ast.Subscript(value=value) | ast.Starred(value=value):
                self._mark(region, value)
            case ast.Tuple(elts=elts) | ast.List(elts=elts):
                for element in elts:
                    self._mark(region, element)

    def _follow(self, region: _Region, node: ast.AST) -> None:
        match node:
            case ast.Assign(targets=targets, value=value):
                if self.of(region, value):
                    for target in targets:
                        self._mark(region, target)
            case ast.AugAssign(target=target, value=value) | ast.NamedExpr(target=target, value=value):
                if self.of(region, value):
                    self._mark(region, target)
            case ast.AnnAssign(target=target, value=ast.expr() as value):
                if self.of(region, value):
                    self._mark(region, target)
            case ast.For(target=target, iter=source) | ast.comprehension(target=target, iter=source):
                if self.of(region, source):
                    self._mark(region, target)
            case ast.withitem(context_expr=source, optional_vars=ast.expr() as target):
                if self.of(region, source):
                    self._mark(region, target)
            case ast.Return(value=ast.expr() as value):
                if region is not None and self.of(region, value):
                    self._names.setdefault(None, set()).add(region.name)
            case ast.Call(func=func):
                self._follow_call(region, node, func)

    def _follow_call(self, region: _Region, node: ast.Call, func: ast.expr) -> None:
        """Arguments taint the parameters of the test's own functions, and the list that they are added to."""
        passed = [*node.args, *(k.value for k in node.keywords)]
        name = func.id if isinstance(func, ast.Name) else func.attr if isinstance(func, ast.Attribute) else ""
        if not any(self.of(region, a) for a in passed):
            return
        function = self._functions.get(name)
        if function is not None:
            self._mark_parameters(region, node, function)
        elif isinstance(func, ast.Attribute) and func.attr in ("append", "add", "extend", "insert", "update"):
            self._mark(region, func.value)

    def _mark_parameters(
        self, region: _Region, node: ast.Call, function: ast.FunctionDef | ast.AsyncFunctionDef
    ) -> None:
        names = [a.arg for a in (*function.args.posonlyargs, *function.args.args)]
        if names[:1] in (["self"], ["cls"]):
            names = names[1:]
        starred = any(isinstance(a, ast.Starred) for a in node.args)
        marked = {k.arg or "" for k in node.keywords if self.of(region, k.value)}
        marked.update(n for n, a in zip(names, node.args, strict=False) if self.of(region, a))
        if starred or "" in marked or len(node.args) > len(names):
            marked.update(_locals(function))
        self._names.setdefault(self._home.get(function), set()).update(marked - {""})

    def compares(self) -> bool:
        """Whether the test decides anything on the word of the program alone."""
        objects = any(n[:1].isupper() for n in self._program)
        return any(self._decides(region, node, objects) for region, nodes in self._regions for node in nodes)

    def _decides(self, region: _Region, node: ast.AST, objects: bool) -> bool:
        match node:
            case ast.Compare(left=left, comparators=comparators):
                return self._two(region, [left, *comparators])
            case ast.BinOp(left=left, op=ast.Sub(), right=right):
                return self._two(region, [left, right])
            case ast.Call(func=func, args=args):
                name = func.id if isinstance(func, ast.Name) else func.attr if isinstance(func, ast.Attribute) else ""
                if name in _ONE_OPERAND:
                    return False
                if name.startswith("assert") or name in _COMPARING:
                    owner = [func.value] if isinstance(func, ast.Attribute) and name in _COMPARING else []
                    return self._two(region, [*owner, *args[:2]])
                if objects and name in _ORDERING:
                    owner = [func.value] if isinstance(func, ast.Attribute) else []
                    return any(self.of(region, a) for a in [*owner, *args])
            # Hashed and looked up: that asks the program's objects whether they are equal.
            case ast.Dict(keys=keys):
                return objects and any(key is not None and self.of(region, key) for key in keys)
            case ast.Set(elts=elements):
                return objects and any(self.of(region, element) for element in elements)
            case ast.SetComp(elt=key) | ast.DictComp(key=key) | ast.Subscript(slice=key):
                return objects and self.of(region, key)
        return False

    def _two(self, region: _Region, nodes: list[ast.expr]) -> bool:
        return sum(self.of(region, n) for n in nodes) > 1

    def reads_back(self) -> bool:
        """Whether a top-level assert looks at nothing but names that the test set before it called the program.

        `count = 0; tick(); assert count == 1` says nothing unless the program assigns the test's global.
        """
        called = False
        nodes = next((n for r, n in self._regions if r is None), [])
        passed = {a.id for n in nodes if isinstance(n, ast.Call) for a in ast.walk(n) if isinstance(a, ast.Name)}
        for node in nodes:
            if isinstance(node, ast.Call) and self.of(None, node.func):
                called = True
            if isinstance(node, ast.Assert) and called and not self.of(None, node.test):
                names = [n.id for n in ast.walk(node.test) if isinstance(n, ast.Name)]
                if any(n in self._local_to_module() and n not in passed for n in names):
                    return True
        return False

    def _local_to_module(self) -> set[str]:
        nodes = next((n for r, n in self._regions if r is None), [])
        return {t.id for n in nodes if isinstance(n, ast.Assign) for t in n.targets if isinstance(t, ast.Name)}


def _locals(function: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    """Names that the function, or anything inside it, binds."""
    names = {n.arg for n in ast.walk(function) if isinstance(n, ast.arg)}
    names |= {n.id for n in ast.walk(function) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    inner = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    names |= {n.name for n in ast.walk(function) if isinstance(n, inner)}
    return names - {n for g in ast.walk(function) if isinstance(g, ast.Global) for n in g.names}


def _regions(tree: ast.Module) -> list[tuple[_Region, list[ast.AST]]]:
    """The nodes of the module's own level, and of each function that is not inside another, in order of the text."""
    own: list[ast.AST] = []
    functions: list[tuple[_Region, list[ast.AST]]] = []
    stack: list[ast.AST] = [*reversed(tree.body)]
    while stack:
        node = stack.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            functions.append((node, [n for n in ast.walk(node) if isinstance(n, _FOLLOWED)]))
            stack.extend(reversed(node.decorator_list))
            continue
        if isinstance(node, _FOLLOWED):
            own.append(node)
        stack.extend(reversed(list(ast.iter_child_nodes(node))))
    return [(None, own), *functions]
