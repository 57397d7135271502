"""The code of a verifier cannot change under its old version; if it could, old verdicts would be taken for new ones."""

import json
from pathlib import Path

import pytest

from stillhouse.verify import judge
from tools import verifier_versions
from tools.verifier_versions import RECORD, VERIFY, current, meaning, unversioned


@pytest.fixture(scope="module")
def before() -> dict[str, dict[str, str]]:
    """The record of the code as it is."""
    return current()


def test_every_verifier_has_the_version_that_is_recorded_for_its_code(
    before: dict[str, dict[str, str]],
) -> None:
    recorded = json.loads(RECORD.read_text(encoding="utf-8"))
    assert unversioned(recorded, before) == [], (
        "raise VERSION of these, then run `python tools/verifier_versions.py --write`"
    )
    assert recorded == before, "run `python tools/verifier_versions.py --write`"


def test_all_that_gives_a_version_to_checks_is_recorded() -> None:
    with_version = {
        ".".join(path.relative_to(VERIFY).with_suffix("").parts)
        for path in VERIFY.rglob("*.py")
        if "\nVERSION = " in path.read_text(encoding="utf-8")
    }
    assert with_version == {
        module for module, name in verifier_versions.VERIFIERS.values() if name == "VERSION"
    }


def test_what_is_no_meaning_changes_nothing() -> None:
    plain = 'VERSION = "1"\n\ndef f(x):\n    return x + 1\n'
    told = '"""Say."""\n\nVERSION = "2"  # new\n\n\ndef f(x):\n    """Add."""\n    return (x\n        + 1)\n'
    assert meaning(plain) == meaning(told)
    assert meaning(plain) != meaning(plain.replace("1\n", "2\n"))


def test_where_a_name_is_imported_from_is_no_meaning_outside_verify() -> None:
    one = "from stillhouse.params.verify import CodeLimits, Verify\n"
    moved = "from stillhouse.params.code import CodeLimits\nfrom stillhouse.params.grading import Verify\n"
    assert meaning(one) == meaning(moved)
    assert meaning(one) != meaning(one.replace("Verify", "Queries"))
    assert meaning("from stillhouse.verify.a import f\n") != meaning(
        "from stillhouse.verify.b import f\n"
    )


@pytest.mark.parametrize(
    ("file", "old", "new", "changed"),
    [
        ("code/referee/main.py", "SPARE_CPU_SECONDS = 2", "SPARE_CPU_SECONDS = 3", {"code_tests"}),
        ("prompts/math_v1.jinja", "e", "E", {"judge"}),
        ("prompts/demand_v1.jinja", "e", "E", {"judge_demands"}),
        ("rules/ifeval.py", "LANGUAGE_SEED = 0", "LANGUAGE_SEED = 1", {"ifeval"}),
        ("worker.py", "MAX_SAID_CHARS = 300", "MAX_SAID_CHARS = 301", {"pool"}),
        ("checks.py", "400", "401", set()),
    ],
)
def test_a_change_is_seen_in_what_it_decides(
    file: str,
    old: str,
    new: str,
    changed: set[str],
    before: dict[str, dict[str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read = Path.read_text

    def changed_text(path: Path, **options: str) -> str:
        text = read(path, **options)
        if path != VERIFY / file:
            return text
        assert old in text
        return text.replace(old, new, 1)

    monkeypatch.setattr(Path, "read_text", changed_text)
    after = current()
    assert set(unversioned(before, after)) >= changed
    judges = {"judge", "judge_demands"} if changed & {"judge"} else set()
    assert set(unversioned(before, after)) == changed | judges


def test_a_new_version_lets_new_code_be_recorded(
    before: dict[str, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judge, "VERSION", "another")
    monkeypatch.setattr(verifier_versions, "meaning", lambda source: source)
    assert "judge" not in unversioned(before, current())
    assert "math_rule" in unversioned(before, current())
