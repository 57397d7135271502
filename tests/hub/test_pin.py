"""`stillhouse queries pin` against the stand-in for the Hub."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from huggingface_hub import HfApi

from stillhouse.cli import main
from stillhouse.cli.pin import PinError, newest_commit, pin_file
from stillhouse.params.base import ParamsError
from stillhouse.params.load import load_run
from stillhouse.queries.adapters import ADAPTERS
from stillhouse.queries.origins import origin_of
from tests.hub.stand_in import HubStandIn
from tools.adapters_reference import rows_of_tests

DEEPMATH, BIG_MATH = ADAPTERS["deepmath"].repo, ADAPTERS["big_math"].repo
PINNED = "a" * 40
PARAMS = f"""\
# The run's comment, with FILL_IN in it.
run: {{name: pinned,   seed: 1}}  # spaces stay
package:
    namespace: FILL_IN
queries:
  sources:
    # a comment above a source: FILL_IN
    - id: deepmath
      kind: hub
      adapter: deepmath
      revision: FILL_IN   # a comment behind a value
    - {{id: own, kind: hub, license: FILL_IN, category: math, repo: tester/own, revision: "FILL_IN", split: train}}
    - id: fixed
      kind: hub
      adapter: big_math
      revision: {PINNED}
    - id: sums
      kind: reasoning_gym
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "params.yaml"
    path.write_bytes(PARAMS.replace("\n", "\r\n").encode())
    return path


def create(api: HfApi, repo: str) -> str:
    """Create a data set as the tester, under another owner if need be, and return its commit."""
    api.create_repo(repo, repo_type="dataset")
    return str(api.dataset_info(repo).sha)


@pytest.fixture
def commits(hub: HubStandIn, api: HfApi) -> dict[str, str]:
    found = {repo: create(api, repo) for repo in (DEEPMATH, BIG_MATH, "tester/own")}
    hub.push(DEEPMATH, {"rows.jsonl": b"{}"})
    return found | {DEEPMATH: hub.repositories[DEEPMATH].head}


def test_only_the_values_to_fill_in_change(file: Path, api: HfApi, commits: dict[str, str]) -> None:
    pinned, failed = pin_file(file, api)
    assert not failed
    assert [(pin.source, pin.old, pin.new) for pin in pinned] == [
        ("deepmath", "FILL_IN", commits[DEEPMATH]),
        ("own", "FILL_IN", commits["tester/own"]),
    ]
    expected = PARAMS.replace(
        "revision: FILL_IN   #", f"revision: {commits[DEEPMATH]}   #"
    ).replace('"FILL_IN", split', f'"{commits["tester/own"]}", split')
    assert file.read_bytes().decode() == expected.replace("\n", "\r\n")


def test_what_the_hub_does_not_have_stays_and_the_rest_is_filled_in(
    file: Path, api: HfApi, hub: HubStandIn
) -> None:
    create(api, "tester/own")
    pinned, failed = pin_file(file, api)
    assert [pin.source for pin in pinned] == ["own"]
    assert failed.keys() == {"deepmath"}
    assert "no such data set on the Hub" in failed["deepmath"]
    assert "hf auth login" in failed["deepmath"]
    assert "revision: FILL_IN   # a comment" in file.read_text()


def test_a_private_data_set_needs_a_token(hub: HubStandIn, api: HfApi) -> None:
    api.create_repo("tester/own", repo_type="dataset", private=True)
    assert len(newest_commit("tester/own", api)) == 40
    with pytest.raises(PinError, match="hf auth login"):
        newest_commit("tester/own", HfApi(endpoint=hub.endpoint, token=False))


def test_a_busy_hub_is_asked_again(hub: HubStandIn, api: HfApi) -> None:
    commit = create(api, "tester/own")
    hub.fail("GET .*tester/own", 503, times=2)
    assert newest_commit("tester/own", api) == commit
    hub.fail("GET .*tester/own", 503, times=9)
    with pytest.raises(Exception, match="still answers HTTP 503 after 5 tries"):
        newest_commit("tester/own", api)


def test_without_a_network_nothing_changes_and_the_message_says_so(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    before = file.read_bytes()
    pinned, failed = pin_file(file, HfApi(endpoint="http://127.0.0.1:9"))
    assert not pinned
    assert failed.keys() == {"deepmath", "own"}
    assert "after 5 tries" in failed["own"]
    assert "not asked for, because the Hub cannot be reached" in failed["deepmath"]
    assert file.read_bytes() == before


def test_offline_mode_is_named(
    hub: HubStandIn, run_python: Callable[[str], str], api: HfApi
) -> None:
    create(api, "tester/own")
    said = run_python(
        "import os; os.environ['HF_HUB_OFFLINE'] = '1'\n"
        "from huggingface_hub import HfApi\n"
        "from stillhouse.cli.pin import PinError, newest_commit\n"
        "try:\n    newest_commit('tester/own', HfApi())\n"
        "except PinError as error:\n    print(error)\n"
    )
    assert "HF_HUB_OFFLINE is set" in said


def test_the_command_prints_old_and_new_and_fails_for_what_is_left(
    hub: HubStandIn, api: HfApi, file: Path, run_python: Callable[[str], str]
) -> None:
    commit = create(api, "tester/own")
    script = (
        "from click.testing import CliRunner\nfrom stillhouse.cli import main\n"
        "done = CliRunner().invoke(main, ['queries', 'pin', '--params', {path!r}{more}])\n"
        "print(done.exit_code)\nprint(done.stdout)\nprint(done.stderr)\n"
    )
    said = run_python(script.format(path=str(file), more=""))
    assert said.splitlines()[0] == "2"
    assert f"own: tester/own: FILL_IN -> {commit}" in said
    assert f"{file}: deepmath: {DEEPMATH}: no such data set" in said
    create(api, DEEPMATH)
    code, _, document = run_python(script.format(path=str(file), more=", '--json'")).partition("\n")
    assert code == "0"
    assert [pin["source"] for pin in json.loads(document)["pinned"]] == ["deepmath"]
    said = run_python(script.format(path=str(file), more=""))
    assert "no revision of a query source to fill in" in said


@pytest.mark.parametrize("name", ["paper", "single_gpu"])
def test_the_profiles_are_filled_in(hub: HubStandIn, api: HfApi, tmp_path: Path, name: str) -> None:
    profile = Path("profiles") / name / "params.yaml"
    path = tmp_path / "params.yaml"
    shutil.copy(profile, path)
    for repo in {adapter.repo for adapter in ADAPTERS.values()}:
        create(api, repo)
    pinned, failed = pin_file(path, api)
    assert not failed
    changed = dict(
        pair
        for pair in zip(
            profile.read_text().splitlines(), path.read_text().splitlines(), strict=True
        )
        if pair[0] != pair[1]
    )
    assert len(changed) == len(pinned) > 1
    for (old, new), pin in zip(changed.items(), pinned, strict=True):
        assert new == old.replace("revision: FILL_IN", f"revision: {pin.new}")
    for source in load_run(tmp_path).queries.sources:
        assert len(origin_of(source).revision or "") == 40


READ = """
import json
from stillhouse.params.queries import HubSource
from stillhouse.queries.sources import load_source
from stillhouse.records import to_dict
source = HubSource.model_validate({source!r})
print(json.dumps([to_dict(row) if hasattr(row, "source") else row.reason for row in load_source(source, 1)]))
"""


@pytest.mark.slow
def test_a_pinned_source_is_read_from_the_hub_by_its_adapter(
    hub: HubStandIn, api: HfApi, run_python: Callable[[str], str]
) -> None:
    repo = ADAPTERS["numina_math"].repo
    create(api, repo)
    rows = [entry["row"] for entry in rows_of_tests()["numina_math"] if len(entry["row"]) > 3]
    text = "\n".join(json.dumps(row) for row in rows)
    hub.push(repo, {"data/train.jsonl": text.encode()})
    pinned = newest_commit(repo, api)
    hub.push(repo, {"data/train.jsonl": b'{"problem": "moved on"}'})
    source = {"id": "own", "kind": "hub", "adapter": "numina_math", "revision": pinned}
    found = json.loads(run_python(READ.format(source=source)).splitlines()[-1])
    query = found[0]
    assert (query["category"], query["license"], query["ground_truth"]) == (
        "math",
        "apache-2.0",
        "81",
    )
    assert [row if isinstance(row, str) else row["reason"] for row in found[1:]] == [
        "no_reference",
        "sentinel_reference",
        "proof",
        "marked_invalid",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("queries: [", "not valid YAML"),
        ("run: 1", "queries.sources: a list of sources was expected"),
        ("queries: {sources: 7}", "a list of sources was expected"),
        ("queries: {sources: [{id: a, kind: hub, revision: FILL_IN}]}", "a: set `repo`, or an `adapter`"),
        ("queries: {sources: [{kind: hub, repo: [x], revision: FILL_IN}]}", "queries.sources.0: set `repo`"),
    ],
)  # fmt: skip
def test_a_broken_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises((ParamsError, PinError), match=message.split("`")[0]):
        pin_file(path, HfApi())
    done = CliRunner().invoke(main, ["queries", "pin", "--params", str(path)])
    assert done.exit_code == 2
    assert str(path) in done.stderr
    assert path.read_text() == text


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["queries", "pin", "--params", str(tmp_path / "none.yaml")])
    assert done.exit_code == 2
    assert "no such file" in done.stderr
