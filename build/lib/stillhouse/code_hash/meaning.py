"""The meaning of a piece of Python as text: its syntax tree without what no run can see.

Comments and layout are not in a syntax tree. Docstrings are left out, and so are the annotations of functions and
variables, which nothing evaluates to a result; a class keeps those of its fields, which msgspec, pydantic and
dataclasses read. Of an import of the project's own code only the bound names are kept: where a module lies is no
meaning, and what a name refers to is compared apart.
"""

import ast
from collections.abc import Callable

_FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)
_WITH_DOCSTRING = (ast.Module, ast.ClassDef, *_FUNCTION)
_NO_MEANING = frozenset(("type_comment", "type_ignores", "kind"))


def meaning(
    node: ast.AST,
    is_ours: Callable[[str], bool] = lambda name: False,
    keep_annotations: bool = True,
) -> str:
    """Return the meaning of a tree or statement.

    Args:
        node: where to begin.
        is_ours: whether a dotted name is a module of the project.
        keep_annotations: keep those of functions and variables too, because a decorator may read them.
    """
    parts: list[str] = []
    _Writer(is_ours, keep_annotations, parts.append).write(node, in_class=False)
    return "".join(parts)


class _Writer:
    def __init__(
        self, is_ours: Callable[[str], bool], keep_annotations: bool, put: Callable[[str], None]
    ) -> None:
        self._is_ours = is_ours
        self._keep = keep_annotations
        self._put = put

    def write(self, node: ast.AST, in_class: bool) -> None:
        kind = type(node)
        if kind is ast.Constant:
            self._put(self._constant(node.value))  # type: ignore[attr-defined]
            return
        if kind is ast.Name:  # assigned or read is seen from what is around it
            self._put(f"Name({node.id})")  # type: ignore[attr-defined]
            return
        if isinstance(node, ast.expr_context):
            return
        if isinstance(node, ast.Import | ast.ImportFrom) and self._imports_ours(node):
            return
        is_function = isinstance(node, _FUNCTION)
        in_class = kind is ast.ClassDef or (in_class and not is_function)
        self._put(kind.__name__ + "(")
        for name, value in ast.iter_fields(node):
            if value is None or name in _NO_MEANING:
                continue
            if name == "body" and isinstance(node, _WITH_DOCSTRING):
                value = value[1:] if _begins_with_docstring(node) else value
            elif name in ("annotation", "returns") and not (
                self._keep or (in_class and isinstance(node, ast.AnnAssign))
            ):
                continue
            self._put(name + "=")
            self._value(value, in_class)
        self._put(")")

    def _value(self, value: object, in_class: bool) -> None:
        if isinstance(value, list):
            self._put("[")
            for item in value:
                self._value(item, in_class)
                self._put(",")
            self._put("]")
        elif isinstance(value, ast.AST):
            self.write(value, in_class)
        else:
            self._put(repr(value))

    def _constant(self, value: object) -> str:
        if isinstance(value, str) and "." in value and self._is_ours(value):
            return "<module>"  # `python -m`, PackageLoader: what it names is followed
        return f"{type(value).__name__}:{value!r}"

    def _imports_ours(self, node: ast.Import | ast.ImportFrom) -> bool:
        """Write the names that an import of the project's own code binds; return whether it is one."""
        if isinstance(node, ast.ImportFrom):
            if not node.level and not self._is_ours(node.module or ""):
                return False
            self._put(f"Import({','.join(alias.asname or alias.name for alias in node.names)})")
            return True
        if not all(self._is_ours(alias.name) for alias in node.names):
            return False
        names = [alias.asname or alias.name.partition(".")[0] for alias in node.names]
        self._put(f"Import({','.join(names)})")
        return True


def _begins_with_docstring(
    node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef,
) -> bool:
    first = node.body[0] if node.body else None
    return (
        isinstance(first, ast.Expr)
        and isinstance(first.value, ast.Constant)
        and isinstance(first.value.value, str)
    )
