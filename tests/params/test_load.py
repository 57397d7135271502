import json
from pathlib import Path

import pytest

from stillhouse.params.base import ParamsError
from stillhouse.params.load import load_run, load_teacher
from tests.params.faults import TEACHER


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=r"params\.yaml: no such file"):
        load_run(tmp_path)


def test_an_id_without_a_file_lists_the_ids_there_are(tmp_path: Path) -> None:
    (tmp_path / "conf/teachers").mkdir(parents=True)
    (tmp_path / "conf/teachers/warm.yaml").touch()
    with pytest.raises(ParamsError, match="'cold' is used; ids there: warm"):
        load_teacher("cold", tmp_path)


def test_what_a_machine_needs_is_read_by_id_over_the_defaults(tmp_path: Path) -> None:
    write_files(tmp_path, {"defaults": {"teachers": {"max_num_seqs": 3}}})
    assert load_teacher("t", tmp_path).runtime.max_num_seqs == 3
    write_files(
        tmp_path,
        {
            "defaults": {"teachers": {"max_num_seqs": 3, "endpoints": ["http://a/v1"]}},
            "teachers": {"t": {"max_num_seqs": 4}, "other": {"max_num_seqs": 5}},
        },
    )
    runtime = load_teacher("t", tmp_path).runtime
    assert (runtime.max_num_seqs, runtime.endpoints) == (4, ["http://a/v1"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"teacher": {}}, r"runtime\.yaml: teacher: unknown key; allowed here: defaults"),
        ({"teachers": {"t": 3}}, r"runtime\.yaml: teachers\.t: a mapping of keys was expected"),
        ({"teachers": {"t": {"seats": 3}}}, r"runtime\.yaml: teachers\.t: seats: unknown key"),
    ],
)
def test_a_fault_in_what_a_machine_needs_is_named(
    tmp_path: Path, content: dict[str, object], message: str
) -> None:
    write_files(tmp_path, content)
    with pytest.raises(ParamsError, match=message):
        load_teacher("t", tmp_path)


def test_a_runtime_section_in_a_teachers_file_is_still_read_with_a_note(tmp_path: Path) -> None:
    write_files(tmp_path, {"teachers": {"t": {"max_num_seqs": 3}}}, runtime={"max_num_seqs": 9})
    with pytest.warns(FutureWarning, match=r"move it to conf/runtime\.yaml \(teachers\.t\)"):
        assert load_teacher("t", tmp_path).runtime.max_num_seqs == 9


def write_files(root: Path, runtimes: dict[str, object], **more: object) -> None:
    (root / "conf/teachers").mkdir(parents=True, exist_ok=True)
    content = {"teacher": TEACHER, "perplexity_cut": None, **more}
    (root / "conf/teachers/t.yaml").write_text(json.dumps(content))  # JSON is YAML
    (root / "conf/runtime.yaml").write_text(json.dumps(runtimes))
