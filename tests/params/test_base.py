import importlib
import pkgutil

import pytest
from pydantic import BaseModel

from stillhouse import params
from stillhouse.params.base import Section
from stillhouse.params.files import parse
from stillhouse.params.queries import FileSource, HubSource
from tests.params.faults import HUB, fault


@pytest.mark.parametrize("revision", ["main", "v1.0", "0" * 39, "G" * 40, ""])
def test_a_moving_revision_is_refused(revision: str) -> None:
    assert "commit hash" in fault(HubSource, HUB | {"revision": revision})


@pytest.mark.parametrize("revision", ["a" * 40, "f" * 64, "FILL_IN"])
def test_a_hash_and_the_placeholder_are_accepted(revision: str) -> None:
    assert parse(HubSource, HUB | {"revision": revision}, "f").revision == revision


@pytest.mark.parametrize("bad", ["Big", "a.b", "a/b", "a@b", "1a", "a-b", ""])
def test_an_id_that_breaks_stage_names_is_refused(bad: str) -> None:
    content = {"id": bad, "kind": "file", "category": "math", "license": "mit", "path": "q.jsonl"}
    assert "[a-z][a-z0-9_]*" in fault(FileSource, content)


def test_sections_cannot_be_changed() -> None:
    source = parse(HubSource, HUB, "f")
    with pytest.raises(ValueError, match="frozen"):
        source.repo = "c/d"  # type: ignore[misc]


def sections_below(model: type[BaseModel]) -> set[type[BaseModel]]:
    return {model}.union(*(sections_below(child) for child in model.__subclasses__()))


def test_no_parameter_has_a_name_that_dvc_ignores() -> None:
    for module in pkgutil.iter_modules(params.__path__):
        importlib.import_module(f"{params.__name__}.{module.name}")
    names = {name for section in sections_below(Section) for name in section.model_fields}
    assert {"teacher_ids", "chat_template", "learning_rate"} <= names
    assert names.isdisjoint({"size", "nfiles"})
