import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from stillhouse.cli import main
from stillhouse.cli.check import survey
from tests.cli.json_output import document

PROFILE = Path("profiles/single_gpu").absolute()
Edit = Callable[[str, str, str], None]

TEACHERS = "[qwen3_8b, r1_0528_qwen3_8b, openthinker3_7b]"
COMMENT = "# The parallel set is made of the answers of these teachers, and a student each is trained and ranked."


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A complete project made of a profile whose placeholders are filled in."""
    shutil.copytree(PROFILE, tmp_path, dirs_exist_ok=True)
    shutil.copytree("dataset_cards", tmp_path / "dataset_cards")
    shutil.copytree("conf/chat_templates", tmp_path / "conf/chat_templates")
    for path in tmp_path.rglob("*.yaml"):
        text = path.read_text()
        path.write_text(
            text.replace("revision: FILL_IN", f"revision: {'a' * 40}").replace("FILL_IN", "me")
        )
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def edit(project: Path) -> Edit:
    def replace(file: str, old: str, new: str) -> None:
        path = project / file
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))

    return replace


def faults() -> str:
    return "\n".join(survey(Path(), Path()).faults)


def test_a_sound_project_passes_and_lists_its_files(project: Path) -> None:
    result = CliRunner().invoke(main, ["check"])
    assert result.exit_code == 0, result.stderr
    assert "conf/teachers/qwen2_5_7b_judge.yaml: ok" in result.stdout
    assert "conf/students/qwen2_5_1_5b.yaml: ok" in result.stdout


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        (
            "params.yaml",
            "allow_unchecked: []",
            "allow_unchecked: [aime42]",
            "queries.decontaminate.allow_unchecked: no benchmark task 'aime42'; there are: aime24, gsm8k, math500",
        ),
        (
            "params.yaml",
            "teacher_ids: [qwen3_8b,",
            "teacher_ids: [qwen9, qwen3_8b,",
            "conf/teachers/qwen9.yaml: no such file, but the id",
        ),
        (
            "params.yaml",
            "model: qwen2_5_7b_judge",
            "model: nobody",
            "conf/teachers/nobody.yaml: no",
        ),
        ("params.yaml", "model: qwen2_5_7b_judge", "model: null", "judge.model: Input should"),
        ("params.yaml", "math: unread_only", "math: sometimes", "verify.judge.math: Input should"),
        (
            "params.yaml",
            "  threshold: 0.9\n  judge:",
            "  threshold: 0.9\n  judge_advisory: true\n  judge:",
            "verify.judge_advisory: unknown key",
        ),
        ("params.yaml", "[qwen2_5_1_5b]", "[other]", "conf/students/other.yaml: no such file"),
        (
            "params.yaml",
            f"teacher_ids: {TEACHERS}\n{COMMENT}\ncompared_ids: {TEACHERS}",
            "teacher_ids: []\ncompared_ids: []",
            "teacher_ids: is emp",
        ),
        ("params.yaml", f"compared_ids: {TEACHERS}", "compared_ids: []", "compared_ids: is emp"),
        (
            "params.yaml",
            f"compared_ids: {TEACHERS}",
            "compared_ids: [qwen3_8b, qwen9]",
            "compared_ids: qwen9: not in teacher_ids",
        ),
        (
            "params.yaml",
            "{unit: rows, limit: null}",
            "{unit: steps, limit: null}",
            "training_budget: unit `steps` needs a `limit`",
        ),
        (
            "params.yaml",
            "kind: gsm8k",
            "kind: file\n      path: inputs/none.jsonl",
            "tasks.2.path: no such",
        ),
        ("params.yaml", "limit: 3000", "category: cooking", "queries.sources.0"),
        (
            "params.yaml",
            "adapter: deepmath",
            "adapter: none",
            "no adapter 'none'; there are: acecode",
        ),
        (
            "params.yaml",
            f"adapter: big_math, revision: {'a' * 40}",
            "adapter: big_math",
            "queries.sources.1: query source 'big_math': no revision of SynthLabsAI/Big-Math-RL-Verified",
        ),
        (
            "params.yaml",
            "kind: gsm8k",
            "kind: gsm8k\n      config: {size: 3}",
            "benchmark.tasks.2.config.size: the key 'size'",
        ),
        ("params.yaml", "  seed: 1", "  seed: &s 1\n  name2: *s", "unknown key"),
        ("params.yaml", "count: 30", "count: &c 30\n      config: {c: *c}", "the alias *c"),
        ("conf/teachers/qwen3_8b.yaml", "max_tokens: 8192", "max_tokens: 10240", "leaves no room"),
        ("conf/teachers/qwen3_8b.yaml", "engine: vllm", "engine: openai", "at least one base URL"),
        ("conf/teachers/qwen3_8b.yaml", "engine: vllm", "engin: vllm", "engin: unknown key"),
        ("conf/students/qwen2_5_1_5b.yaml", "chatml.jinja", "none.jinja", "student.chat_template"),
    ],
)
def test_a_fault_is_found_and_named(
    edit: Edit, file: str, old: str, new: str, message: str
) -> None:
    edit(file, old, new)
    found = faults()
    assert message in found
    result = CliRunner().invoke(main, ["check"])
    assert result.exit_code == 2
    assert result.stderr == found + "\n"


@pytest.mark.parametrize(
    "address", ["http://me:s3cr3t@h.invalid/v1", "http://h.invalid/v1?key=s3cr3t"]
)
def test_credentials_in_an_address_are_a_fault_that_does_not_show_them(
    project: Path, address: str
) -> None:
    path = project / "conf/runtime.yaml"
    path.write_text(f"teachers:\n  qwen3_8b: {{endpoints: ['{address}']}}\n")
    result = CliRunner().invoke(main, ["check"])
    assert result.exit_code == 2
    assert "conf/runtime.yaml: teachers.qwen3_8b: endpoints.0: the URL of h.invalid" in (
        result.stderr
    )
    assert "s3cr3t" not in result.output


def test_a_judge_that_draws_its_words_is_a_fault(edit: Edit) -> None:
    edit("conf/teachers/qwen2_5_7b_judge.yaml", "temperature: 0.0", "temperature: 0.7")
    assert "teacher.sampling.temperature: 0.7; a judge must say the same" in faults()


def test_a_replay_cannot_judge(edit: Edit) -> None:
    edit(
        "conf/teachers/qwen2_5_7b_judge.yaml",
        "engine: vllm",
        f"engine: replay\n  replay: {{kind: solutions}}\n  tokenizer: {{model: a/b, revision: {'a' * 40}}}",
    )
    assert "a judge must answer new prompts" in faults()


def test_a_source_of_a_teacher_that_the_run_has_not_is_a_fault(edit: Edit) -> None:
    edit("conf/teachers/qwen3_8b.yaml", "engine: vllm", "engine: vllm\n  sources: [nowhere]")
    assert "teacher.sources: no query source 'nowhere'; there are: " in faults()


def test_all_faults_are_reported_at_once(edit: Edit) -> None:
    edit("conf/teachers/qwen3_8b.yaml", "engine: vllm", "engine: openai")
    edit("conf/students/qwen2_5_1_5b.yaml", "chatml.jinja", "none.jinja")
    edit("params.yaml", "model: qwen2_5_7b_judge", "model: nobody")
    assert len(faults().splitlines()) == 3


def test_a_placeholder_left_in_the_run_is_a_fault(edit: Edit) -> None:
    edit("params.yaml", "a" * 40, "FILL_IN")
    result = CliRunner().invoke(main, ["check"])
    assert result.exit_code == 2
    assert result.stderr == (
        "params.yaml: queries.sources.1.revision: fill in the 40-digit commit of SynthLabsAI/Big-Math-RL-Verified "
        "(`stillhouse queries pin` does it)\n"
    )


def test_a_profile_lists_what_to_fill_in_and_passes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(PROFILE, tmp_path / "profiles/gpu")
    shutil.copytree("conf/chat_templates", tmp_path / "conf/chat_templates")
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, ["check", "--profile", "gpu"])
    assert result.exit_code == 0, result.stderr
    assert "profiles/gpu/params.yaml: package.namespace: your user or organisation" in result.stdout


def test_an_unknown_licence_is_found_before_anything_is_paid(project: Path, edit: Edit) -> None:
    edit("conf/teachers/qwen3_8b.yaml", "license: apache-2.0", "license: House Licence 7")
    result = CliRunner().invoke(main, ["check"])
    assert result.exit_code == 2
    assert (
        "package.allow_licenses: fill in 'House Licence 7', the licence of teacher qwen3_8b"
        in result.stderr
    )
    edit("params.yaml", "allow_licenses: []", "allow_licenses: [house licence 7]")
    assert CliRunner().invoke(main, ["check"]).exit_code == 0


def test_a_release_licence_that_a_source_forbids_is_a_fault(project: Path, edit: Edit) -> None:
    edit("params.yaml", "license: cc-by-nc-4.0", "license: Apache License 2.0")
    assert "package.license: Apache License 2.0 allows commercial use, but these do not" in faults()


def test_a_version_without_a_line_in_the_changelog_is_a_fault(project: Path, edit: Edit) -> None:
    edit("params.yaml", "version: 0.1.0", "version: 0.2.0")
    result = CliRunner().invoke(main, ["check"])
    assert result.exit_code == 2
    assert result.stderr.startswith(
        "dataset_cards/changelog.md: 0.2.0: fill in a line on what version 0.2.0"
    )


def test_tags_that_no_student_is_trained_on_are_a_warning(edit: Edit) -> None:
    assert document("check")["warnings"] == []
    edit("params.yaml", "system_prompt: null", "system_prompt: Put it in <answer> and </answer>.")
    (warning,) = document("check")["warnings"]
    assert warning.startswith(
        "params.yaml: benchmark.sampling.system_prompt: asks for <answer> </answer>, but "
        "conf/students/qwen2_5_1_5b.yaml has student.turn_format think_tags"
    )
    result = CliRunner().invoke(main, ["check"])
    assert result.exit_code == 0
    assert result.stderr == f"warning: {warning}\n"
    edit("conf/students/qwen2_5_1_5b.yaml", "think_tags", "answer_tags")
    assert document("check")["warnings"] == []


def test_an_unknown_profile_lists_those_there_are() -> None:
    result = CliRunner().invoke(main, ["check", "--profile", "huge"])
    assert result.exit_code == 2
    assert "profiles/huge: no such profile; there are: paper, single_gpu" in result.stderr


def test_the_document_has_files_and_faults(edit: Edit) -> None:
    assert document("check")["faults"] == []
    edit("conf/teachers/qwen3_8b.yaml", "engine: vllm", "engin: vllm")
    edit("params.yaml", "a" * 40, "FILL_IN")
    found = document("check", exit_code=2)
    assert "params.yaml" in found["files"]
    assert "engin: unknown key" in "\n".join(found["faults"])
    assert found["placeholders"][0]["key"] == "queries.sources.1.revision"


def test_a_run_without_teachers_is_named(edit: Edit) -> None:
    ids = "[qwen3_8b, r1_0528_qwen3_8b, openthinker3_7b]"
    edit("params.yaml", f"teacher_ids: {ids}", "teacher_ids: []")
    edit("params.yaml", f"compared_ids: {ids}", "compared_ids: []")
    assert "teacher_ids: is empty" in faults()


@pytest.fixture
def alias(edit: Edit, project: Path) -> Path:
    """The file of a sound alias of the first teacher."""
    path = project / "conf/teachers/again.yaml"
    shutil.copy(project / "conf/teachers/qwen3_8b.yaml", path)
    path.write_text(path.read_text().replace("teacher:\n", "teacher:\n  alias_of: qwen3_8b\n", 1))
    edit("params.yaml", "teacher_ids: [", "teacher_ids: [again, ")
    edit("params.yaml", "compared_ids: [", "compared_ids: [again, ")
    edit("params.yaml", "alias: []", "alias: [again]")
    return path


def test_an_alias_may_differ_in_its_label(alias: Path) -> None:
    assert faults() == ""
    alias.write_text(alias.read_text().replace("label: ", "label: again "))
    assert faults() == ""


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("temperature: 0.6", "temperature: 0.7", "teacher.sampling: differs from qwen3_8b"),
        ("perplexity_cut: ", "perplexity_cut: 1", "perplexity_cut: differs from qwen3_8b"),
        ("alias_of: qwen3_8b", "alias_of: nobody", "nobody: not a teacher of compared_ids"),
        ("alias_of: qwen3_8b", "alias_of: again", "again: not a teacher of compared_ids"),
        ("  alias_of: qwen3_8b\n", "", "teacher.alias_of: missing key"),
    ],
)
def test_an_alias_that_is_another_teacher_is_refused(
    alias: Path, old: str, new: str, message: str
) -> None:
    assert old in alias.read_text()
    alias.write_text(alias.read_text().replace(old, new))
    assert message in faults()


def test_an_alias_must_be_listed_as_a_control(alias: Path, edit: Edit) -> None:
    edit("params.yaml", "alias: [again]", "alias: []")
    assert "controls.alias: again: is not listed" in faults()


def test_an_alias_of_a_teacher_that_does_not_sample_is_refused(alias: Path, edit: Edit) -> None:
    edit("conf/teachers/qwen3_8b.yaml", "temperature: 0.6", "temperature: 0.0")
    alias.write_text(alias.read_text().replace("temperature: 0.6", "temperature: 0.0"))
    assert "gives the same answers again" in faults()


@pytest.fixture
def template(project: Path, full_environment: None) -> Path:
    return project / "conf/chat_templates/chatml.jinja"


def test_a_template_is_checked_with_a_stand_in_where_the_tokenizer_is_not_here(
    template: Path,
) -> None:
    result = CliRunner().invoke(main, ["check"])
    assert result.exit_code == 0, result.stderr
    assert (
        "chat template of qwen2_5_1_5b: answers end with <|im_end|>; checked only with"
        in result.stdout
    )
    assert (
        "stand-in tokenizer, because that of Qwen/Qwen2.5-1.5B is not on this machine"
        in result.stdout
    )
    (one,) = document("check")["templates"]
    assert (one["student"], one["tokenizer"], one["fault"]) == ("qwen2_5_1_5b", "stand-in", None)


def test_a_template_without_reasoning_is_a_fault(template: Path) -> None:
    text = template.read_text()
    kept = "message['content'] + '<|im_end|>' }}\n{%- endgeneration"
    assert kept in text
    template.write_text(
        text.replace(kept, "message['content'].split('</think>')[-1] + " + kept[21:])
    )
    result = CliRunner().invoke(main, ["check"])
    assert result.exit_code == 2
    assert "conf/students/qwen2_5_1_5b.yaml: student: chat template" in result.stderr
    assert "drops or changes the reasoning" in result.stderr


def test_null_is_checked_with_the_tokenizer_where_it_is_here(
    template: Path, edit: Edit, tiny_model: Path
) -> None:
    """The tokenizer of the tests has a template that TRL takes as it is."""
    student = "conf/students/qwen2_5_1_5b.yaml"
    edit(student, "conf/chat_templates/chatml.jinja", "null")
    result = CliRunner().invoke(main, ["check"])
    assert result.exit_code == 0, result.stderr
    assert "chat template of qwen2_5_1_5b: not checked: null takes TRL's template" in result.stdout
    edit(student, "Qwen/Qwen2.5-1.5B", f"path:{tiny_model}")
    result = CliRunner().invoke(main, ["check"])
    assert "chat template of qwen2_5_1_5b: answers end with <|im_end|>\n" in result.stdout


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("sft_config: {learning_rate: 1.0e-5}", "set instead: learning_rate: recipe.learning_rate"),
        ("sft_config: {report_to: wandb}", "report_to: conf/runtime.yaml: students: report_to"),
        ("sft_config: {otpim: sgd}", "recipe.sft_config: otpim: no such argument; valid are: "),
        ("model_kwargs: {dtype: bfloat16}", "set instead: dtype: recipe.dtype"),
    ],
)
def test_an_argument_that_cannot_be_passed_on_is_a_fault(
    given: str, message: str, template: Path, edit: Edit
) -> None:
    edit(
        "conf/students/qwen2_5_1_5b.yaml",
        "    dtype: bfloat16",
        f"    dtype: bfloat16\n    {given}",
    )
    result = CliRunner().invoke(main, ["check"])
    assert result.exit_code == 2
    assert message in result.stderr
