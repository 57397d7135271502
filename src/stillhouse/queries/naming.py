"""The name that the tests of a program call, where the question does not say it: no answer could pass otherwise."""

import re
from collections.abc import Sequence

from stillhouse.queries.tests_layouts import PlainTest
from stillhouse.verify.code.extract import names_wanted
from stillhouse.verify.code.referee.names import USUAL, USUAL_MODULES

# The sandbox has these, or the answer may import them; a test that uses one does not ask for it.
_OF_LIBRARIES = frozenset(USUAL_MODULES).union(*USUAL.values(), ("pytest", "unittest", "np", "pd"))


def with_name(
    prompt: str, tests: Sequence[PlainTest], setup: str | None, entry_point: str | None
) -> str:
    """Return a prompt that names what the tests call; it stays as it is where it does so already.

    Args:
        prompt: the question.
        tests: its tests.
        setup: code that runs before the tests.
        entry_point: the name under test, if it is known; else the one name that every assert uses and nothing defines.
    """
    asserts = [str(test["code"]) for test in tests if test["kind"] == "assert"]
    if not asserts:
        return prompt
    name = entry_point or _wanted(asserts, setup or "")
    if name is None or all(_is_named(part, prompt) for part in name.split(".")):
        return prompt
    return f"{prompt}\n\nYour code must define `{name}`."


def _wanted(asserts: Sequence[str], setup: str) -> str | None:
    common = set(names_wanted(asserts[:1], setup, None))
    for code in asserts[1:]:
        if not common:
            return None
        common.intersection_update(names_wanted([code], setup, None))
    names = common - _OF_LIBRARIES or common  # `gcd` alone is no tool of the test
    return names.pop() if len(names) == 1 else None


def _is_named(name: str, prompt: str) -> bool:
    """Return whether a prompt names something as code: `remove` may be an English word there."""
    word = re.escape(name)
    forms = (
        rf"`{word}\b|\b{word}\s*\(|\b(?:def|class|function|method|named|called)\s+[`'\"*]*{word}\b"
    )
    return re.search(rf"\b{word}\b" if "_" in name else forms, prompt) is not None
