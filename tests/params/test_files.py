from pathlib import Path

import pytest

from stillhouse.params.base import ParamsError
from stillhouse.params.files import read_yaml
from stillhouse.params.queries import HubSource
from stillhouse.params.student import Recipe
from tests.params.faults import COMMIT, HUB, fault


def test_an_unknown_key_names_file_key_and_what_is_allowed() -> None:
    message = fault(HubSource, HUB | {"revison": COMMIT})
    assert message.startswith("file.yaml: revison: unknown key")
    assert "allowed here: " in message
    assert "revision" in message


def test_a_missing_key_is_named() -> None:
    assert "file.yaml: learning_rate: missing key" in fault(Recipe, {})


def test_every_fault_has_its_own_line() -> None:
    content = {k: v for k, v in HUB.items() if k != "id"} | {"category": "cooking"}
    lines = fault(HubSource, content).splitlines()
    assert len(lines) == 2
    assert any("category" in line and "'cooking'" in line and "'math'" in line for line in lines)
    assert any(line == "file.yaml: id: missing key" for line in lines)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            {k: v for k, v in HUB.items() if k != "repo"},
            "needs `repo` and `revision`, or an `adapter`",
        ),
        (
            {k: v for k, v in HUB.items() if k != "category"},
            "needs `category` and `license`, or an",
        ),
        (
            HUB | {"adapter": "kodcode", "columns": {"prompt": "q"}},
            "remove `columns` and `constants`",
        ),
        (
            HUB | {"columns": {"prompt": "q"}, "constants": {"prompt": "x"}},
            "prompt is in `columns` and",
        ),
    ],
)
def test_a_source_of_rows_needs_its_columns_or_an_adapter(
    content: dict[str, str], said: str
) -> None:
    assert said in fault(HubSource, content)


def test_yaml_is_read_as_dvc_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text("a: 1.0e-5\nb: no\nc: on\nd: 010\n")
    assert read_yaml(path) == {"a": 1.0e-5, "b": "no", "c": "on", "d": 10}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a: [1", "not valid YAML"),
        ("- a\n", "a mapping of keys was expected at the top level, found list"),
        ("", "a mapping of keys was expected at the top level, found NoneType"),
        ("a: 1\na: 2\n", "not valid YAML"),
    ],
    ids=["broken", "list", "empty", "key twice"],
)
def test_a_malformed_file_is_one_line_with_its_name(
    tmp_path: Path, content: str, message: str
) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(content)
    with pytest.raises(ParamsError) as caught:
        read_yaml(path)
    assert str(caught.value).startswith(f"{path}: {message}")
    assert "\n" not in str(caught.value)
