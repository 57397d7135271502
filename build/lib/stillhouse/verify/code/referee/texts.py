"""Prevents the evaluation of any text of an answer in the referee, by a test or by a library that a test uses.

`eval` and `exec` are not the only ways: sympy evaluates the text that it simplifies, typing evaluates annotations, and
pickle calls functions that its bytes name. An audit hook sees all of them. It allows texts that occur in the test or
the setup, texts of libraries that create classes, and harmless texts: arithmetic and, for sympy, formulas.
"""

from __future__ import annotations

import re
import sys
import types

from stillhouse.verify.code.referee.wire import Unsupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

REFEREE = "stillhouse.verify.code.referee."  # the beginning of the file names of these modules
# These modules compile only what they have created themselves, or only parse.
TRUSTED = (
    "/ast.py",
    "/collections/__init__.py",
    "/dataclasses.py",
)
PARSER, LAMBDIFY, TYPING = (
    "/sympy/parsing/sympy_parser.py",
    "/sympy/utilities/lambdify.py",
    "/typing.py",
)
IMPORTS = "<frozen importlib._bootstrap>"
NUMPY_TESTING = "/numpy/testing/"  # has a function that evaluates a text
OF_TESTS = ("test.py", "setup.py")
NUMBER = r"\d+(?:\.\d*)?(?:[eE][+-]?\d+)?\b|\.\d+\b"
# The harmless parts of a text; without them the rest of the text must be empty.
ARITHMETIC = re.compile(rf"{NUMBER}|\b(?:True|False|None)\b|[\s+\-*/%()\[\],.<>=!&|^~]")
TYPES = re.compile(r"[\w\s.,\[\]|]")
# A letter that is not a function of sympy, a Greek letter, or a mathematical function.
FORMULA = re.compile(
    rf"{NUMBER}|\b(?:[A-FH-MPRT-Za-z]\d?|alpha|beta|gamma|delta|epsilon|theta|lambda_|mu|phi|rho|sigma|tau|omega"
    r"|pi|oo|a?(?:sin|cos|tan)h?|cot|sec|csc|exp|log|ln|sqrt|cbrt|Abs|abs|sign|floor|ceiling|factorial|binomial"
    r"|Rational|Integer|Float|Pow|Add|Mul)\b|[\s+\-*/^()\[\],]"
)
# The names that pickled data may use: classes of plain values, and the functions that create them.
PICKLED = {
    "builtins": ("bytearray", "complex", "frozenset", "object", "range", "set", "slice"),
    "collections": ("Counter", "OrderedDict", "defaultdict", "deque"),
    "copyreg": ("__newobj__", "_reconstructor"),
    "datetime": ("date", "datetime", "time", "timedelta"),
    "decimal": ("Decimal",),
    "fractions": ("Fraction",),
}
PICKLED_ARRAYS = ("_frombuffer", "_reconstruct", "dtype", "ndarray", "scalar")


def guard_texts(
    sources: list[str], packages: list[str], refused: Callable[[Unsupported], None]
) -> None:
    """Restrict this process from now on to the evaluation of texts from some sources.

    Args:
        sources: setup and tests; a text that is a constant in one of them may be evaluated.
        packages: folders of libraries, which create functions from their own texts.
        refused: called with the error before it is raised, because a test may catch it.
    """
    known = set(sources)
    for source in sources:
        try:
            _constants(compile(source, "test.py", "exec", dont_inherit=True), known)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event == "compile":
            caller = sys._getframe(1)
            if not _may_compile(args[0], caller, known, tuple(packages)):
                refuse("a test evaluates a text that is not its own")
        elif event == "pickle.find_class":
            if not _may_name(*args):
                refuse(f"a test reads pickled data that names {args[0]}.{args[1]}")
        elif event == "marshal.loads" and sys._getframe(1).f_code.co_filename in OF_TESTS:
            refuse("a test reads marshalled code")

    def refuse(why: str) -> None:
        error = Unsupported(why)
        refused(error)
        raise error

    sys.addaudithook(hook)


def _constants(code: types.CodeType, found: set[str]) -> None:
    for constant in code.co_consts:
        if type(constant) is str:
            found.add(constant)
        elif type(constant) is types.CodeType:
            _constants(constant, found)


def _may_compile(source: Any, caller: Any, known: set[str], packages: tuple[str, ...]) -> bool:
    file = caller.f_code.co_filename
    if file.startswith(REFEREE) or file.endswith(TRUSTED) or _is_importing(caller):
        return True
    if file.endswith(PARSER):
        return _is_formula(_local(caller, "parse_expr", "s"), known)
    if file.endswith(LAMBDIFY):
        return _of_sympy(_local(caller, "lambdify", "expr"))
    if file.startswith(packages) and NUMPY_TESTING not in file:
        return True
    if type(source) is bytes:
        source = source.decode("utf-8", "replace")
    if type(source) is not str:
        return False
    harmless = TYPES if file.endswith(TYPING) else ARITHMETIC
    return source in known or not harmless.sub("", source)


def _is_importing(frame: Any) -> bool:
    """Return whether a module is being imported, which may create classes and functions from its own texts."""
    while frame is not None:
        if frame.f_code.co_filename == IMPORTS:
            return True
        frame = frame.f_back
    return False


def _is_formula(text: Any, known: set[str]) -> bool:
    return type(text) is str and (text in known or not FORMULA.sub("", text))


def _of_sympy(value: Any) -> bool:
    """Return whether an argument of lambdify consists of sympy objects only; lambdify would evaluate a text."""
    if type(value) in (list, tuple):
        return all(map(_of_sympy, value))
    home = type(value).__module__  # for a proxy this is a property
    return type(value) in (int, float) or (type(home) is str and home.startswith("sympy."))


def _local(frame: Any, function: str, name: str) -> Any:
    """Return a local variable of the nearest caller with that function name."""
    while frame is not None and frame.f_code.co_name != function:
        frame = frame.f_back
    return None if frame is None else frame.f_locals.get(name)


def _may_name(module: str, name: str) -> bool:
    return name in (PICKLED_ARRAYS if module.startswith("numpy") else PICKLED.get(module, ()))
