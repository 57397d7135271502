"""Extracts the program from an answer: finds the fenced blocks that form the program, and the end of each block.

The text is only parsed, never evaluated.
"""

import ast
import builtins
import re
from collections.abc import Iterable
from dataclasses import dataclass

PYTHON_TAG = re.compile(r"(?:i?python|py|c?pypy|cpython|sage)[\d.\-]*", re.IGNORECASE)
CPP_TAG = re.compile(r"(?:c\+\+|cpp|cxx|cc|gnu\+\+|g\+\+|gcc|hpp|c)[\da-z]{0,3}", re.IGNORECASE)
NO_CPP_TAG = frozenset({"css", "csv", "cs", "c#", "cfg", "clj"})
FENCE = re.compile(r"^[ \t]*(`{3,}|~{3,})[ \t]*\{?\.?([\w+#.-]*)([^\n`]*)$", re.MULTILINE)
# A fence inside a string of the program looks like the end of its block. This many later ends are tried for a block.
MAX_ENDS = 12
# Limit on the parsed characters of one answer, all tries together. Later blocks are searched as text.
MAX_PARSED_CHARS = 1_000_000
READS_INPUT = re.compile(r"\binput\s*\(|\bstdin\b|\bopen\s*\(\s*0\b|\bfileinput\b")
CPP_MAIN = re.compile(r"\bmain\s*\(")


@dataclass(frozen=True)
class _Block:
    """A fenced block: its text, whether it has the language's tag, and the names at its top level (Python)."""

    code: str
    tagged: bool
    parses: bool
    defines: frozenset[str] = frozenset()
    uses: frozenset[str] = frozenset()


def extract_code(answer: str, language: str, wanted: Iterable[str] = ()) -> str | None:
    """Return the program in an answer, or None.

    The program is the last block that defines the names that the tests use, together with the blocks that define what
    that block uses. If the tests use no names, it is the last block that reads input. If there is no such block, all
    blocks of the language are joined. A block without a tag counts only if no block has the tag of the language. An
    answer without a fence counts only if its whole text parses as Python or has a C++ `main`.

    Args:
        answer: the answer part of a response.
        language: "python" or "cpp".
        wanted: the names that the tests use of the program, including the entry point.
    """
    if not FENCE.search(answer):
        return _whole(answer, language)
    blocks = _blocks(answer, language)
    if any(block.tagged for block in blocks):
        blocks = [block for block in blocks if block.tagged]
    elif language == "python" and any(block.parses for block in blocks):
        blocks = [block for block in blocks if block.parses]
    if not blocks:
        return None
    chosen = _cpp(blocks) if language == "cpp" else _python(blocks, list(wanted))
    return "\n".join(block.code for block in chosen)


def names_wanted(tests: Iterable[str], setup: str, entry_point: str | None) -> list[str]:
    """Return the names that asserts use of the program: the entry point, or else all names defined nowhere else.

    Args:
        tests: the source texts of the asserts.
        setup: the source text of the setup.
        entry_point: the name of the function under test, if the query has it.
    """
    if entry_point:
        return [entry_point.partition(".")[0]]
    defined, _ = _names(setup) or (frozenset(), frozenset())
    found: list[str] = []
    for test in tests:
        own, used = _names(test) or (frozenset(), frozenset())
        found += sorted(used - own - defined - set(found))
    return [name for name in found if not hasattr(builtins, name)]


def _whole(answer: str, language: str) -> str | None:
    if language == "cpp":
        return answer if re.search(r"\bint\s+main\s*\(", answer) else None
    return answer if _tree(answer) is not None else None


def _blocks(answer: str, language: str) -> list[_Block]:
    """Return the blocks of an answer that may be in the language, in their order."""
    fences = list(FENCE.finditer(answer))
    found: list[_Block] = []
    left = MAX_PARSED_CHARS
    number = 0
    while number < len(fences):
        opened = fences[number]
        tag = opened[2].lower().rstrip(".:")
        readable = not tag or _is(tag, language)
        ends = [
            i
            for i, fence in enumerate(fences[number + 1 :], start=number + 1)
            if fence[1].startswith(opened[1]) and not fence[2] and not fence[3].strip()
        ][: MAX_ENDS if readable else 1]
        number = ends[0] + 1 if ends else len(fences)
        if not readable:
            continue
        block = None
        for end in ends or [len(fences)]:
            stop = fences[end].start() if end < len(fences) else len(answer)
            left -= stop - opened.end()
            tried = _block(answer, opened, stop, language, parse=left > 0)
            block = block or tried
            if tried.parses:
                block, number = tried, end + 1
                break
        if block is not None and block.code.strip():
            found.append(block)
    return found


def _is(tag: str, language: str) -> bool:
    if language == "cpp":
        return CPP_TAG.fullmatch(tag) is not None and tag not in NO_CPP_TAG
    return PYTHON_TAG.fullmatch(tag) is not None


def _block(answer: str, opened: re.Match[str], end: int, language: str, parse: bool) -> _Block:
    code = answer[opened.end() + 1 : end]
    # A block inside a list has the indentation of its fence.
    indent = opened[0][: len(opened[0]) - len(opened[0].lstrip())]
    if indent:
        code = re.sub(rf"^{indent}", "", code, flags=re.MULTILINE)
    tagged = bool(opened[2])
    if language == "cpp":
        return _Block(code, tagged, _balanced(code))
    names = _names(code) if parse else None
    return _Block(code, tagged, names is not None, *(names or ()))


def _balanced(code: str) -> bool:
    """Return whether the braces of a C++ text match, without those in strings and comments."""
    text = re.sub(
        r'R"(\w*)\((?:.|\n)*?\)\1"|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|//[^\n]*|/\*(?:.|\n)*?\*/',
        "",
        code,
    )
    return text.count("{") == text.count("}") and 'R"(' not in text and "/*" not in text


def _cpp(blocks: list[_Block]) -> list[_Block]:
    with_main = [i for i, block in enumerate(blocks) if CPP_MAIN.search(block.code)]
    if not with_main:
        return blocks
    last = blocks[with_main[-1]]
    if "#include" in last.code:
        return [last]
    # A block with main but without a header is the end of a program that began in earlier blocks.
    return [*(b for b in blocks[: with_main[-1]] if not CPP_MAIN.search(b.code)), last]


def _python(blocks: list[_Block], wanted: list[str]) -> list[_Block]:
    if wanted:
        chosen = {last for name in wanted if (last := _last_definer(blocks, name)) is not None}
        if not chosen:
            return blocks
    else:
        reading = [i for i, block in enumerate(blocks) if READS_INPUT.search(block.code)]
        chosen = {reading[-1] if reading else len(blocks) - 1}
    waiting = list(chosen)
    while waiting:
        block = blocks[waiting.pop()]
        defined = frozenset[str]().union(*(blocks[i].defines for i in chosen))
        for name in block.uses - defined:
            helper = _last_definer(blocks, name)
            if helper is not None and helper not in chosen:
                chosen.add(helper)
                waiting.append(helper)
    return [blocks[i] for i in sorted(chosen)]


def _last_definer(blocks: list[_Block], name: str) -> int | None:
    by_text = re.compile(
        rf"^(?:(?:async\s+)?def|class)\s+{re.escape(name)}\b|^{re.escape(name)}\s*=", re.MULTILINE
    )
    for i in range(len(blocks) - 1, -1, -1):
        block = blocks[i]
        if name in block.defines or (not block.parses and by_text.search(block.code)):
            return i
    return None


def _tree(code: str) -> ast.Module | None:
    try:
        return ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _names(code: str) -> tuple[frozenset[str], frozenset[str]] | None:
    """Return the names that a Python text defines at its top level, and the names that it uses but never binds."""
    tree = _tree(code)
    if tree is None:
        return None
    top: set[str] = set()
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            top.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            top |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            top.add(node.id)
        elif not isinstance(node, (ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp)):
            waiting += ast.iter_child_nodes(node)
    loaded: set[str] = set()
    bound = set(top)
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            (loaded if isinstance(node.ctx, ast.Load) else bound).add(node.id)
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            bound.add(node.name)
        elif isinstance(node, ast.alias):
            bound.add((node.asname or node.name).partition(".")[0])
        elif isinstance(node, ast.ExceptHandler) and node.name:
            bound.add(node.name)
    return frozenset(top), frozenset(loaded - bound)
