"""What a top-level statement names: names and attribute chains, imports, modules in texts, files beside the module."""

import ast
from dataclasses import dataclass, field
from pathlib import Path

from stillhouse.code_hash.source import CodeHashError, Import, Project, Statement, dotted

# Calls that read or run what no reader of the code can name.
_ANY_CODE = frozenset(("exec", "eval", "globals", "__import__"))
_ANY_MODULE = frozenset(
    ("import_module", "__import__", "spec_from_file_location", "entry_points", "run_path")
)
PLUGIN_LOADER = "stillhouse.plugins"
_READS_DOCSTRINGS = frozenset(("getdoc", "get_docstring"))


@dataclass
class References:
    """What one statement names.

    `chains`: names and dotted chains. `local`: names that imports inside it bind. `imports`: those imports.
    `attributes`: names that getattr asks for. `texts`: modules of the project that texts name, and whether code is
    taken from them there. `files`: files and folders beside the code.
    `any_code`: it reads or runs what no reader can name, such as a module of a computed name.
    `installed_data`: it looks for the folder of an installed package.
    """

    chains: set[str] = field(default_factory=set)
    local: dict[str, list[Import]] = field(default_factory=dict)
    imports: list[ast.Import | ast.ImportFrom] = field(default_factory=list)
    attributes: set[str] = field(default_factory=set)
    texts: dict[str, bool] = field(default_factory=dict)
    files: set[Path] = field(default_factory=set)
    any_code: bool = False
    installed_data: bool = False


class Reader:
    """Reads statements of one project."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self._read: dict[Statement, References] = {}

    def read(self, statement: Statement) -> References:
        """Return what a statement names.

        Raises:
            CodeHashError: it uses a docstring as data, or computes a path that cannot be followed.
        """
        if statement not in self._read:
            found = References()
            self._visit(statement.node, statement, found, in_class=False)
            self._read[statement] = found
        return self._read[statement]

    def _visit(self, node: ast.AST, of: Statement, found: References, in_class: bool) -> None:
        if isinstance(node, ast.Name | ast.Attribute):
            self._refuse_docstring(node, of)
            path = self._path(node, of)
            if path is not None:
                found.files.add(path)
            if chain := dotted(node):
                found.chains.add(chain)
                return
            if path is not None:
                return
        elif isinstance(node, ast.Call | ast.BinOp | ast.Subscript):
            path = self._path(node, of)
            if path is not None:
                found.files.add(path)
                return
            if isinstance(node, ast.Call):
                self._call(node, of, found)
            elif isinstance(node, ast.Subscript):
                self._named_module(node.slice, found)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found.imports.append(node)
            for name, target in of.module.targets(node):
                found.local.setdefault(name, []).append(target)
            return
        elif isinstance(node, ast.Constant):
            if (
                isinstance(node.value, str)
                and "." in node.value
                and self.project.is_ours(node.value)
            ):
                found.texts.setdefault(node.value, False)
            return
        for name, value in ast.iter_fields(node):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.arg) and name in (
                "returns",
                "annotation",
            ):
                if not of.keeps_annotations:
                    continue
            elif isinstance(node, ast.AnnAssign) and name == "annotation":
                if in_class:
                    self._annotation(node.annotation, of, found)
                continue
            inside = isinstance(node, ast.ClassDef) if name == "body" else in_class
            inside = inside and not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST) and not _is_text(child, node):
                    self._visit(child, of, found, inside)

    def _annotation(self, node: ast.expr, of: Statement, found: References) -> None:
        """Read a class's annotation, in which a text is a name."""
        self._visit(node, of, found, in_class=False)
        for inner in ast.walk(node):
            if isinstance(inner, ast.Constant) and isinstance(inner.value, str):
                try:
                    self._visit(ast.parse(inner.value, mode="eval").body, of, found, in_class=False)
                except SyntaxError:
                    continue

    def _call(self, node: ast.Call, of: Statement, found: References) -> None:
        direct = isinstance(node.func, ast.Name)
        name = getattr(node.func, "id" if direct else "attr", "")
        found.any_code |= direct and name in _ANY_CODE
        if name in _ANY_MODULE and not (node.args and _text(node.args[0])):
            # The loader of plugins imports what `plugins` names, which has a hash of its own.
            found.any_code |= of.module.name != PLUGIN_LOADER
        elif name in _ANY_MODULE and not self.project.is_ours(_text(node.args[0]) or ""):
            found.imports.append(ast.Import([ast.alias(_text(node.args[0]) or "")]))
        found.installed_data |= name in ("find_spec", "files")
        if name == "getattr" and len(node.args) > 1 and (attribute := _text(node.args[1])):
            found.attributes.add(attribute)
            if attribute == "__doc__":
                raise _docstring(node, of)
        if name in _READS_DOCSTRINGS:
            raise _docstring(node, of)
        for argument in node.args:
            self._named_module(argument, found)

    def _named_module(self, node: ast.AST, found: References) -> None:
        """Note a module that a text names where something may be taken from it: import_module, sys.modules[...]."""
        if (name := _text(node)) and "." in name and self.project.is_ours(name):
            found.texts[name] = True

    def _refuse_docstring(self, node: ast.Name | ast.Attribute, of: Statement) -> None:
        name = node.id if isinstance(node, ast.Name) else node.attr
        if name == "__doc__" and isinstance(node.ctx, ast.Load):
            raise _docstring(node, of)

    def _path(self, node: ast.AST, of: Statement) -> Path | None:
        """Return the file or folder that an expression over `__file__` gives; None: it is another expression."""
        match node:
            case ast.Name(id="__file__"):
                return of.module.path
            case ast.Name(id=name):
                bound = of.module.bindings.get(name, [])
                if len(bound) == 1 and isinstance(bound[0], Statement):
                    assigned = bound[0].node
                    if isinstance(assigned, ast.Assign | ast.AnnAssign) and assigned.value:
                        return self._path(assigned.value, bound[0])
                return None
            case ast.Call(func=ast.Name(id="Path" | "str"), args=[argument]):
                return self._path(argument, of)
            case ast.Call(func=ast.Attribute(value=value, attr="resolve" | "absolute"), args=[]):
                return self._path(value, of)
            case ast.Call(func=ast.Attribute(value=value, attr=method), args=[argument]):
                base, part = self._path(value, of), _text(argument)
                if base is None or part is None:
                    return None
                return {
                    "with_name": base.with_name,
                    "with_suffix": base.with_suffix,
                    "joinpath": base.joinpath,
                }.get(method, lambda _: None)(part)
            case ast.Attribute(value=value, attr="parent"):
                base = self._path(value, of)
                return base.parent if base else None
            case ast.Subscript(
                value=ast.Attribute(value=value, attr="parents"), slice=ast.Constant(int(up))
            ):
                base = self._path(value, of)
                return base.parents[up] if base else None
            case ast.BinOp(left=left, op=ast.Div(), right=right):
                base, part = self._path(left, of), _text(right)
                return base / part if base and part else None
        return None


def _text(node: ast.AST) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def _is_text(child: ast.AST, parent: ast.AST) -> bool:
    """Whether a statement is nothing but a text, as a docstring is."""
    return isinstance(parent, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and (
        isinstance(child, ast.Expr) and _text(child.value) is not None
    )


def _docstring(node: ast.expr, of: Statement) -> CodeHashError:
    return CodeHashError(
        f"{of.module.path}:{node.lineno}: a docstring is used as data, but an edit of a docstring runs no stage; put "
        "the text into a constant"
    )
