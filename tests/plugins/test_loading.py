"""Modules of a user's own: how they are found, loaded, named and hashed, and what is said when that fails."""

from pathlib import Path

import pytest

from stillhouse import plugins
from stillhouse.params.filter import Filter
from stillhouse.params.run import RunParams
from stillhouse.params.stage import StageParams, load_stage
from stillhouse.plugins import PluginError

RULE = """
from stillhouse.plugins import filter_rule

@filter_rule("{name}")
def rule(attempt, limit=1):
    return None
"""


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def load_fault(root: Path, *names: str) -> str:
    with pytest.raises(PluginError) as raised:
        plugins.load(names, root)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_a_module_of_the_project_registers_its_functions(tmp_path):
    write(tmp_path / "mine/rules_a.py", RULE.format(name="short"))
    plugins.load(["mine.rules_a"], tmp_path)
    found = plugins.find("filter rule", "short", "here")
    assert found.place == "mine.rules_a.rule"
    assert found.function(None) is None
    plugins.load(["mine.rules_a"], tmp_path)  # once more: nothing happens
    assert plugins.find("filter rule", "short", "here") is found


def test_without_plugins_the_import_path_stays_as_it_is(tmp_path):
    import sys

    before = list(sys.path)
    plugins.load([], tmp_path)
    assert sys.path == before


def test_two_plugins_of_one_name(tmp_path):
    write(tmp_path / "mine_b/one.py", RULE.format(name="same"))
    write(tmp_path / "mine_b/two.py", RULE.format(name="same"))
    said = load_fault(tmp_path, "mine_b.one", "mine_b.two")
    assert "mine_b.one.rule" in said
    assert "mine_b.two.rule" in said
    assert "filter rule 'same'" in said


def test_one_name_may_be_a_rule_and_a_verifier(tmp_path):
    text = RULE.format(name="both") + (
        "\nfrom stillhouse.plugins import verifier\n\n"
        "@verifier('both', version='1')\ndef check(query, answer):\n    return None\n"
    )
    write(tmp_path / "mine_c.py", text)
    plugins.load(["mine_c"], tmp_path)
    assert plugins.find("verifier", "both", "here").version == "1"
    assert plugins.find("filter rule", "both", "here").version is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import nothing_of_this_name\n", "ModuleNotFoundError: No module named 'nothing_of_this"),
        ("def f(:\n", "SyntaxError"),
        ("1 / 0\n", "ZeroDivisionError"),
    ],
)
def test_a_plugin_that_cannot_be_imported(tmp_path, text, said):
    write(tmp_path / "mine_d/broken.py", text)
    fault = load_fault(tmp_path, "mine_d.broken")
    assert fault.startswith("plugin mine_d.broken cannot be imported: ")
    assert said in fault


def test_a_module_that_is_nowhere(tmp_path):
    assert "plugin mine_x.nowhere cannot be imported" in load_fault(tmp_path, "mine_x.nowhere")


@pytest.mark.parametrize("name", ["Upper", "with-dash", "", "1st"])
def test_a_name_that_no_yaml_key_should_have(tmp_path, name):
    write(tmp_path / "mine_e.py", RULE.format(name=name))
    assert "must match" in load_fault(tmp_path, "mine_e")


def test_a_function_inside_a_function_is_refused(tmp_path):
    text = "def make():\n" + RULE.format(name="inner").replace("\n", "\n    ") + "\nmake()\n"
    write(tmp_path / "mine_f.py", text)
    assert "top level of its module" in load_fault(tmp_path, "mine_f")


def test_an_import_that_no_stage_would_see_change_is_refused(tmp_path):
    write(tmp_path / "mine_g/rule.py", "import helper_g\n" + RULE.format(name="helped"))
    write(tmp_path / "helper_g.py", "LIMIT = 1\n")
    assert "helper_g.py" in load_fault(tmp_path, "mine_g.rule")


def test_a_listed_helper_is_seen(tmp_path):
    write(tmp_path / "mine_h/rule.py", "import helper_h\n" + RULE.format(name="helped"))
    write(tmp_path / "helper_h.py", "LIMIT = 1\n")
    names = ["helper_h", "mine_h.rule"]
    plugins.load(names, tmp_path)
    assert plugins.files(names, tmp_path) == [
        tmp_path / "helper_h.py",
        tmp_path / "mine_h/rule.py",
    ]


def test_what_is_not_registered_lists_what_is(tmp_path):
    write(tmp_path / "mine_i.py", RULE.format(name="known"))
    plugins.load(["mine_i"], tmp_path)
    with pytest.raises(
        PluginError, match=r"there: .* 'unknown'; registered: known; list its module"
    ):
        plugins.find("filter rule", "unknown", "there")
    with pytest.raises(PluginError, match="registered: none"):
        plugins.find("engine", "unknown", "there")


def test_unknown_parameters_name_those_that_are_taken(tmp_path):
    write(tmp_path / "mine_j.py", RULE.format(name="takes_limit"))
    plugins.load(["mine_j"], tmp_path)
    found = plugins.find("filter rule", "takes_limit", "there")
    found.refuse_unknown({"limit": 2}, "there", given=1)
    with pytest.raises(PluginError, match=r"there: .*'limti'; it takes: limit"):
        found.refuse_unknown({"limti": 2}, "there", given=1)


def test_the_files_of_a_plugin_are_all_of_its_folder_without_byte_code(tmp_path):
    for name in ("mine_k/rule.py", "mine_k/deep/words.txt", "mine_k/__pycache__/rule.pyc"):
        write(tmp_path / name, "")
    write(tmp_path / "mine_k/.hidden", "")
    assert plugins.files(["mine_k.rule"], tmp_path) == [
        tmp_path / "mine_k/deep/words.txt",
        tmp_path / "mine_k/rule.py",
    ]
    assert plugins.distributions(["mine_k.rule"], tmp_path) == {}


def test_an_installed_package_is_known_by_its_version(tmp_path, monkeypatch):
    installed(tmp_path / "site", monkeypatch)
    assert plugins.files(["ext_of_test"], tmp_path) == []
    assert plugins.distributions(["ext_of_test"], tmp_path)["ext-of-test"] == "1.2"
    assert plugins.distributions([], tmp_path)["ext-of-test"] == "1.2"  # by its entry point
    with pytest.raises(PluginError, match="no module 'neither_here'"):
        plugins.files(["neither_here.nor_there"], tmp_path)


def test_entry_points_are_loaded_without_being_listed(tmp_path, monkeypatch):
    installed(tmp_path / "site", monkeypatch)
    plugins.load([], tmp_path)
    assert plugins.find("filter rule", "of_entry_point", "here").place == "ext_of_test.rule"


def installed(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lay out an installed package with an entry point, as pip does."""
    write(site / "ext_of_test.py", RULE.format(name="of_entry_point"))
    info = site / "ext_of_test-1.2.dist-info"
    write(info / "METADATA", "Metadata-Version: 2.1\nName: ext-of-test\nVersion: 1.2\n")
    write(info / "entry_points.txt", "[stillhouse.plugins]\nrules = ext_of_test\n")
    write(info / "top_level.txt", "ext_of_test\n")
    write(info / "RECORD", "ext_of_test.py,,\n")
    monkeypatch.syspath_prepend(str(site))


def test_a_stage_loads_the_plugins_that_it_tracks(tmp_path, monkeypatch):
    from dvc.repo import Repo

    write(tmp_path / "mine_l.py", RULE.format(name="of_stage"))
    write(tmp_path / "params.yaml", "plugins: [mine_l]\n")
    write(tmp_path / "dvc.yaml", "stages:\n  filter:\n    cmd: 'true'\n    params: [plugins]\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_STAGE", "filter")
    Repo.init(no_scm=True)
    assert isinstance(load_stage(), StageParams)
    assert plugins.find("filter rule", "of_stage", "here").place == "mine_l.rule"


def test_every_stage_that_may_use_a_plugin_tracks_the_list():
    from ruamel.yaml import YAML

    stages = YAML(typ="safe").load(Path("dvc.yaml").read_text())["stages"]
    tracking = {name for name, stage in stages.items() if "plugins" in stage.get("params", [])}
    assert tracking == {
        "code",
        "benchmark_items",
        "queries",
        "judge_audit",
        "generate",
        "verify",
        "filter",
        "package",
        "benchmark",
        "benchmark_untrained",
    }


def test_params_without_the_key_have_no_plugins():
    assert RunParams.model_fields["plugins"].default == []


def test_a_filter_rule_has_one_name():
    ngram = {"n": 5, "max_count": 3, "action": "off"}
    good = {"require_think": False, "max_tokens": 9, "ngram": ngram}
    rules = ["a", {"b": {"limit": 2}}]
    assert Filter(**good, rules=rules).custom_rules == [("a", {}), ("b", {"limit": 2})]
    with pytest.raises(ValueError, match="each entry is one rule"):
        Filter(**good, rules=[{"a": {}, "b": {}}])
    with pytest.raises(ValueError, match=r"filter\.rules: these ids occur more than once: a"):
        Filter(**good, rules=["a", {"a": {}}])
