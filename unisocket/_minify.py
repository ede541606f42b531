"""Makes a portable module short to send: the same program, for Brython and MicroPython.

Without comments, docstrings and annotations; local variables and functions get short names, and so do the
parameters of private functions, which are given by position, and a module's private globals; simple statements
share a line. Names that anybody else may use stay, and so do those of classes, and the messages of exceptions.
"""

import ast
import builtins
import io
import itertools
import keyword
import re
import string
import symtable
import tokenize
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_NAMED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ExceptHandler)
_BLOCKS = ("body", "orelse", "finalbody")
_LINE = "_line_%d_"
_FSTRING = {"FSTRING_START": 1, "FSTRING_END": -1}


def minify(source: str, known: Mapping[str, str] | None = None) -> str:
    """Return a module's source as short as can be.

    Args:
        source: A module in the dialect of CONTRIBUTING.md.
        known: What to put in the place of expressions and imports, as `ast.unparse()` writes them; "" = nothing.

    Raises:
        LookupError: The module does not ask all that is known.
    """
    answers = _Known(known or {})
    tree = _Bare().visit(answers.visit(ast.parse(source)))
    if answers.unused:
        raise LookupError("the module does not ask what is known: " + ", ".join(sorted(answers.unused)))
    _shorten_locals(tree)
    _shorten_globals(tree)
    joined = _Joined()
    text = ast.unparse(joined.visit(tree))
    lines = [line for line in text.split("\n") if line]
    # `if this:` and its only line become one.
    text = "\n".join(lines)
    text = re.sub(r"^( *)(.*:)\n\1    (_line_\d+_)$(?!\n\1    )", r"\1\2\3", text, flags=re.MULTILINE)
    text = re.sub(r"^ +", lambda indent: " " * (len(indent[0]) // 4), text, flags=re.MULTILINE)
    return _without_spaces(
        re.sub(_LINE.replace("%d", r"(\d+)"), lambda match: joined.lines[int(match[1])], text) + "\n"
    )


class _Known(ast.NodeTransformer):
    """Answers what a module asks of its runtime, where that is known before."""

    def __init__(self, known: Mapping[str, str]) -> None:
        self._known = known
        self.unused = set(known)

    def visit(self, node: ast.AST) -> Any:
        asks = isinstance(node, (ast.expr, ast.Import)) and isinstance(getattr(node, "ctx", ast.Load()), ast.Load)
        question = ast.unparse(node) if self._known and asks else ""
        if question not in self._known:
            return super().generic_visit(node)
        self.unused.discard(question)
        statements = ast.parse(self._known[question]).body
        if not statements:
            return None
        (answer,) = statements
        return answer.value if isinstance(answer, ast.Expr) else answer


class _Bare(ast.NodeTransformer):
    """Drops what only people and checkers read."""

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        if getattr(node, "body", None) == []:
            node.body = [ast.Pass()]  # type: ignore[attr-defined]
        return node

    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.annotation = None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        if node.value is None:
            return None
        return ast.copy_location(ast.Assign([node.target], node.value), self.generic_visit(node))

    def visit_Assign(self, node: ast.Assign) -> ast.AST | None:
        # Without __all__ a star imports the same names, and some more.
        dropped = ast.unparse(node.targets[0]) in {"TYPE_CHECKING", "__all__"}
        return None if dropped else self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.AST | None:
        return None if ast.unparse(node.target) == "__all__" else self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return ast.Constant(False) if node.id == "TYPE_CHECKING" else node

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        self.generic_visit(node)
        if not isinstance(node.test, ast.Constant):
            return node
        return node.body if node.test.value else node.orelse

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        return None if isinstance(node.value, ast.Constant) else self.generic_visit(node)


class _Joined(ast.NodeTransformer):
    """Puts a name in the place of statements that can share a line, which `lines` has."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        for field in _BLOCKS:
            block = getattr(node, field, None)
            if isinstance(block, list):
                setattr(node, field, list(self._join(block)))
        return node

    def _join(self, block: list[ast.stmt]) -> Iterator[ast.stmt]:
        for has_blocks, statements in itertools.groupby(block, lambda statement: hasattr(statement, "body")):
            if has_blocks:
                yield from statements
            else:
                yield ast.Expr(ast.Name(_LINE % len(self.lines)))
                self.lines.append(";".join(map(_written, statements)))


def _written(statement: ast.stmt) -> str:
    """Return a statement's source, without the parentheses of a tuple that is its value."""
    text = ast.unparse(statement)
    match statement:
        case ast.Assign(value=ast.Tuple() as value) | ast.Return(value=ast.Tuple() as value) if value.elts:
            tuple_ = ast.unparse(value)
            # Not every Python takes a star there.
            if tuple_[0] == "(" and not any(isinstance(each, ast.Starred) for each in value.elts):
                return text.removesuffix(tuple_) + tuple_[1:-1]
    return text


def _shorten_locals(tree: ast.Module) -> None:
    """Rename the local variables and functions of each outermost function, whatever is nested in it.

    A name that means anything else there, or in the module, stays: so each of its uses is the variable.
    """
    kept = {*dir(builtins), *keyword.kwlist, *keyword.softkwlist, *next(_scopes(tree)).get_identifiers()}
    keywords = {str(node.arg) for node in ast.walk(tree) if isinstance(node, ast.keyword)}
    for function in _outermost(tree):
        nodes = list(ast.walk(function))
        if any(isinstance(node, ast.ClassDef) for node in nodes):
            continue
        names = [node for node in nodes if isinstance(node, ast.Name)]
        parameters = list(_given_by_position(nodes, keywords))
        named = [node for node in nodes[1:] if isinstance(node, _NAMED)]
        renamed = {id(node) for node in (*names, *parameters, *named)}
        uses = Counter(node.id for node in names)
        uses.update(node.arg for node in parameters)
        uses.update(str(node.name) for node in named)
        stored = {name for node in nodes if id(node) in renamed for name in _bound(node)}
        others = {name for node in nodes if id(node) not in renamed for name in _bound(node)}
        # Default values and decorators have the names of the scope around the function.
        around = [*function.args.defaults, *function.args.kw_defaults, *getattr(function, "decorator_list", ())]
        others.update(node.id for each in around if each for node in ast.walk(each) if isinstance(node, ast.Name))
        short = (letters for letters in _short_names() if letters not in kept | others | uses.keys())
        local = stored - others - kept
        new = {long: next(short) for long, _ in uses.most_common() if len(long) > 1 and long in local}
        _rename([*names, *parameters, *named], new)


def _shorten_globals(tree: ast.Module) -> None:
    """Rename the private globals, but for classes, whose names are seen, and for what is a local name, too."""
    module, *scopes = _scopes(tree)
    private = {
        symbol.get_name()
        for symbol in module.get_symbols()
        if re.match("_[^_]", symbol.get_name()) and (symbol.is_assigned() or symbol.is_imported())
    }
    private -= {symbol.get_name() for scope in scopes for symbol in scope.get_symbols() if not symbol.is_global()}
    nodes = list(ast.walk(tree))
    private -= {node.name for node in nodes if isinstance(node, ast.ClassDef)}
    taken = {name for scope in (module, *scopes) for name in scope.get_identifiers()} - private
    uses = Counter(node.id for node in nodes if isinstance(node, ast.Name) and node.id in private)
    short = (name for letters in _short_names() if (name := "_" + letters) not in taken)
    _rename(nodes, {long: next(short) for long, _ in uses.most_common()})


def _scopes(tree: ast.Module) -> Iterator[symtable.SymbolTable]:
    """Yield the module's scope, and all within it."""
    tables = [symtable.symtable(ast.unparse(tree), "module", "exec")]
    for table in tables:
        yield table
        tables.extend(table.get_children())


def _rename(nodes: Iterable[ast.AST], new: dict[str, str]) -> None:
    for node in nodes:
        match node:
            case ast.Name():
                node.id = new.get(node.id, node.id)
            case ast.arg():
                node.arg = new.get(node.arg, node.arg)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ExceptHandler(name=str()):
                node.name = new.get(str(node.name), node.name)
            case ast.Global():
                node.names = [new.get(name, name) for name in node.names]
            case ast.alias():
                node.asname = new.get(node.asname or node.name, node.asname)


def _given_by_position(nodes: list[ast.AST], keywords: set[str]) -> Iterator[ast.arg]:
    """Yield the parameters that nobody names: of what is private, of lambdas and operators, each `self` and `*`."""
    for node in nodes:
        if isinstance(node, _FUNCTIONS):
            name = getattr(node, "name", "_")
            is_private = name.startswith("_") and name != "__init__"
            yield from (
                parameter
                for parameter in node.args.args
                if parameter.arg == "self" or (is_private and parameter.arg not in keywords)
            )
            yield from filter(None, (node.args.vararg, node.args.kwarg))


def _outermost(node: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, _FUNCTIONS):
            yield child
        else:
            yield from _outermost(child)


def _bound(node: ast.AST) -> Iterator[str]:
    """Yield the names that a node gives a meaning to."""
    match node:
        case ast.Name(id=name, ctx=ast.Store() | ast.Del()) | ast.arg(arg=name):
            yield name
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            yield name
        case ast.ExceptHandler(name=str(name)):
            yield name
        case ast.Global(names=names) | ast.Nonlocal(names=names):
            yield from names
        case ast.alias(name=name, asname=asname):
            yield asname or name.split(".")[0]


def _short_names() -> Iterator[str]:
    for length in itertools.count(1):
        yield from map("".join, itertools.product(string.ascii_lowercase, repeat=length))


def _without_spaces(source: str) -> str:
    """Drop the spaces within lines that separate nothing."""
    lines = source.splitlines(keepends=True)
    gaps: list[tuple[int, int, int]] = []
    depth = 0  # in f-strings, which are tokens of their own from Python 3.12 on
    for before, token in itertools.pairwise(tokenize.generate_tokens(io.StringIO(source).readline)):
        depth += _FSTRING.get(tokenize.tok_name[before.type], 0)
        (row, begin), (same, end) = before.end, token.start
        if (
            not depth
            and row == same
            and begin < end
            and not (_is_word(before.string[-1]) and _is_word(token.string[0]))
            and not (before.string[-1] in "'\"" and token.string[0] in "'\"")
        ):
            gaps.append((row - 1, begin, end))
    for row, begin, end in reversed(gaps):
        lines[row] = lines[row][:begin] + lines[row][end:]
    return "".join(lines)


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"
