"""Files of teachers and sources, and what checking them reports."""

from typing import Any

import pytest

from stillhouse.params.base import ParamsError, Section
from stillhouse.params.files import parse

COMMIT = "0" * 40
HUB = {
    "id": "s",
    "kind": "hub",
    "category": "math",
    "license": "mit",
    "repo": "a/b",
    "revision": COMMIT,
}
TEACHER = {
    "label": "T",
    "engine": "vllm",
    "model": "a/b",
    "revision": COMMIT,
    "license": "mit",
    "sampling": {"temperature": 0.6, "top_p": 0.95, "max_tokens": 8},
}


def fault(section: type[Section], content: Any) -> str:
    with pytest.raises(ParamsError) as caught:
        parse(section, content, "file.yaml")
    return str(caught.value)
