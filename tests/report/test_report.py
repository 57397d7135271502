import dataclasses
import importlib.util
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest

from stillhouse.analysis.conditions import UNTRAINED, Condition
from stillhouse.files import write_json
from stillhouse.params.run import Controls
from stillhouse.params.stage import StageParams
from stillhouse.records import Example, Sample
from stillhouse.report import charts, inputs, page
from stillhouse.report.material import REPLAY_NOTE, teacher_names
from stillhouse.tables.read import TableError, read_table
from stillhouse.tables.write import write_table
from tests.report import fake_run

STAGE = Path(__file__).parents[2] / "stages" / "report.py"
README_TOOL = Path(__file__).parents[2] / "tools" / "readme.py"
FILES = ("report/report.html", "report/report.md", "metrics/summary.json", "plots/funnel.csv")


class Outline(HTMLParser):
    """Collects what a browser would act on: tags, ids, and addresses."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.handlers: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in ("src", "href", "xlink:href", "action"):
                self.addresses.append(value or "")
            if name.startswith("on"):
                self.handlers.append(name)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    root = tmp_path_factory.mktemp("run")
    fake_run.write(root)
    return root


@pytest.fixture(scope="module")
def rendered(run, tmp_path_factory):
    """A rendered run for tests that only look at it."""
    root = shutil.copytree(run, tmp_path_factory.mktemp("rendered") / "run")
    with pytest.MonkeyPatch.context() as monkeypatch:
        render(root, monkeypatch)
    return root


@pytest.fixture
def html(rendered):
    return (rendered / FILES[0]).read_text("utf-8")


@pytest.fixture
def markdown(rendered):
    return (rendered / FILES[1]).read_text("utf-8")


@pytest.fixture
def copied(run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    return tmp_path / "run"


def render(root, monkeypatch, students=(fake_run.STUDENT,), settings=None, compared=None):
    """Run the stage script in `root` with parameters as DVC would hand them over."""
    settings = settings or fake_run.settings()
    tracked = {
        "teacher_ids": list(settings.teachers),
        "compared_ids": list(compared or settings.teachers),
        "student_ids": list(students),
        "training_seeds": list(settings.training_seeds),
        "controls": settings.controls.model_dump(),
        **{key: getattr(settings, key).model_dump() for key in ("run", "verify", "report")},
        "benchmark": settings.benchmark.model_dump(),
        "perplexity": settings.scorer.model_dump(),
    }
    for student_id in students:
        content = {"student": settings.students[student_id].model_dump()}
        path = root / f"conf/students/{student_id}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))  # JSON is YAML
    for teacher_id, teacher in settings.teachers.items():
        recorded = root / "data/responses" / teacher_id
        write_json(recorded / "teacher.json", teacher.model_dump())
        write_json(recorded / "judge.json", settings.judge.model_dump())
    spec = importlib.util.spec_from_file_location("report_stage", STAGE)
    stage = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(stage)
    monkeypatch.setattr(stage, "load_stage", lambda: StageParams("report", tracked))
    monkeypatch.chdir(root)
    stage.main.callback()
    return (root / FILES[0]).read_text("utf-8"), (root / FILES[1]).read_text("utf-8")


def test_same_inputs_give_the_same_bytes_and_no_path(rendered, copied, monkeypatch):
    first = {name: (rendered / name).read_bytes() for name in FILES}
    render(copied, monkeypatch)
    assert first == {name: (copied / name).read_bytes() for name in FILES}
    assert not any(str(rendered).encode() in content for content in first.values())


def test_the_page_loads_nothing_and_model_text_stays_text(html):
    outline = Outline(html)
    assert not outline.tags & {"script", "img", "iframe", "link", "object", "form"}
    assert all(address.startswith("#") for address in outline.addresses)
    assert outline.handlers == []
    assert len(outline.ids) == len(set(outline.ids))
    assert "&lt;script&gt;alert(" in html
    assert "\x1b" not in html
    assert "\u202e" not in html


def test_markdown_holds_model_text_only_inside_fences(markdown):
    fence, outside = "", []
    for line in markdown.splitlines():
        ticks = re.match(r"`{3,}", line)
        if ticks and not fence:
            fence = ticks[0]
        elif fence and line == fence:
            fence = ""
        elif not fence:
            outside.append(line)
    assert fence == ""
    assert "<script>" in markdown
    assert not any("<" in line.replace("\\<", "") for line in outside)


def test_a_replay_is_labelled_wherever_it_appears(html, markdown):
    words = " ".join(re.sub(r"<[^>]*>", " ", html).split())
    for text in (words, " ".join(markdown.split())):
        places = [m.end() for m in re.finditer("Worked solutions", text)]
        assert len(places) > 10
        assert all(text[end:].startswith(f" ({REPLAY_NOTE})") for end in places)


def test_the_headline_names_the_best_and_its_significant_leads(markdown):
    head = markdown.partition("## Scores")[0]
    assert "the traces of Worked solutions" in head
    assert " over SmolLM2 cool (" in head
    assert (
        "is significant: the paired interval excludes 0, with all pairs corrected together." in head
    )
    assert "one model in 2 settings" in head
    assert "compares these trained students, not the teachers" in head
    assert re.search(r"Probability of being the best of these: Worked .*?\) over 99\.9 %, ", head)
    assert re.search(r"A true difference of \d+\.\d points would be found with 80 % power", head)


def test_the_headline_refuses_a_winner_when_the_interval_includes_zero(copied, monkeypatch):
    settings = fake_run.settings()
    del settings.teachers["worked"]
    settings = dataclasses.replace(settings, compared=list(settings.teachers))
    _, markdown = render(copied, monkeypatch, settings=settings)
    head = markdown.partition("## Scores")[0]
    assert "is not significant: the paired interval includes 0." in head
    assert "the best set has 2 teachers" in head
    assert "The best is not significantly better than the untrained student" in head


def test_controls_have_a_sentence_each_and_are_not_ranked(copied, monkeypatch):
    settings = fake_run.settings()
    settings.teachers["smollm2_warm"] = settings.teachers["smollm2_warm"].model_copy(
        update={"alias_of": "smollm2_cool"}
    )
    controls = Controls(alias=["smollm2_warm"], shuffled=["worked"])
    settings = dataclasses.replace(settings, controls=controls)
    samples = copied / "data/samples" / fake_run.STUDENT
    untrained = copied / "data/samples_untrained" / fake_run.STUDENT
    shutil.copytree(untrained, samples / "worked_shuffled" / str(fake_run.SEED))
    _, markdown = render(copied, monkeypatch, settings=settings)
    head = markdown.partition("## Scores")[0]
    assert (
        "SmolLM2 warm, which is SmolLM2 cool with other sampling seeds, is not told apart" in head
    )
    assert "answers of Worked solutions (replay, not a model) given to other queries make a" in head
    assert "is significantly worse" in head
    chances = head.partition("Probability of being the best")[2].partition("\n")[0]
    assert "SmolLM2 cool" in chances
    assert "SmolLM2 warm" not in chances
    table = markdown.partition("Table 1.")[2].partition("Table 2.")[0]
    assert "SmolLM2 warm" not in table
    assert "Controls against their teachers, 95 % each" in markdown


def test_a_run_without_students_still_reports_its_data(copied, monkeypatch):
    html, markdown = render(copied, monkeypatch, students=())
    assert "No student was trained in this run" in markdown.partition("## Scores")[0]
    assert "nothing was benchmarked" in html
    summary = json.loads((copied / "metrics/summary.json").read_text())
    assert summary["parallel"] == 24
    assert not any(key.startswith("score_") for key in summary)


def test_missing_parts_are_named_and_not_a_crash(tmp_path, monkeypatch):
    html, _ = render(tmp_path, monkeypatch)
    for sentence in (
        "the filter stage has left no metrics",
        "the queries stage has left no metrics",
        "No perplexity was measured",
        "No training-loss curve",
        "so no answers are shown side by side",
        "No benchmark answers were found",
    ):
        assert sentence in html
    assert json.loads((tmp_path / "metrics/summary.json").read_text()) == {}


def test_an_empty_parallel_set_is_stated_and_not_charted(copied, monkeypatch):
    for teacher in fake_run.TEACHERS:
        write_table(copied / "data/aligned" / teacher, Example, [])
    html, _ = render(copied, monkeypatch)
    assert "The parallel set is empty" in html


def test_the_share_that_the_ngram_filter_drops_is_shown_for_each_teacher(markdown):
    table = markdown.split("Responses dropped for n-grams that occur too often")[1].split("\n\n")[1]
    head, _, *rows = table.splitlines()
    assert [cell.strip() for cell in head.strip("|").split("|")][-3:] == [
        "Looping",
        "Copies",
        "Dropped, %",
    ]
    assert len(rows) == len(fake_run.TEACHERS)
    for row in rows:  # (2 + 3) of 20
        assert [cell.strip() for cell in row.strip("|").split("|")][1:] == [
            "20",
            "21",
            "2",
            "3",
            "25.0",
        ]


def table(markdown: str, caption: str) -> list[list[str]]:
    """Return the cells of the table below a caption, without its header."""
    _, _, below = markdown.partition(caption)
    rows = [line for line in below.split("\n\n")[1].splitlines() if line.startswith("|")]
    cells = ([cell.strip() for cell in row.strip("|").split("|")] for row in rows[2:])
    return [[cell.replace("\\", "") for cell in row] for row in cells]


def test_survivorship_is_shown_by_difficulty_and_length(markdown):
    assert table(markdown, "Survivorship by pass rate") == [
        ["0 %", "9", "0", "0.0"],
        ["100 %", "31", "24", "77.4"],
    ]
    assert table(markdown, "Survivorship by mean attempts")[1] == ["over 1 to 2", "13", "2", "15.4"]
    assert table(markdown, "Survivorship by length of the answers")[0][1:] == ["21", "15", "71.4"]


def test_the_teacher_that_costs_most_queries_is_named(markdown):
    rows = table(markdown, "Size of the parallel set without each teacher")
    assert rows[0] == ["nobody", "24", "–"]
    assert rows[2] == ["SmolLM2 warm", "29", "+5"]
    assert "SmolLM2 warm alone costs most queries." in markdown


def test_agreement_tells_what_is_the_same_by_construction(markdown):
    rows = table(markdown, "Agreement of the teachers on the parallel set")
    assert len(rows) == 3
    assert rows[0] == [
        "SmolLM2 cool / SmolLM2 warm",
        *("24", "87.5", "18", "3 of 6", "12.5", "0.432", "0.400"),
    ]


def test_expected_wrong_rows_have_their_bounds_and_their_source(markdown):
    rows = table(markdown, "Rows of the parallel set that are expected to be wrong, by teacher")
    assert rows[0][1:] == ["24", "6", "0.80 [0.20, 11]", "3.3 [0.8, 47.5]", "8"]
    rows = table(markdown, "Rows of the parallel set that are expected to be wrong, by category")
    assert rows[-1][:2] == ["other", "– [0.00, 8.00] of 8"]
    errors = table(markdown, "Measured errors of the verifiers that decided rows")
    assert errors[1] == ["math_rule", *["0.0 [0.0, 0.9], 0 of 386"] * 2]
    assert errors[2] == ["own_rule", "not measured", "not measured"]


def test_a_shared_base_model_is_in_the_headline(copied, monkeypatch):
    settings = fake_run.settings()
    _, before = render(copied, monkeypatch, settings=settings)
    shared = "judge SmolLM2 judge share the base model package:llm"
    assert shared in before.replace("\\", "")
    assert "student Tiny student" not in before
    same = settings.students[fake_run.STUDENT].model_copy(
        update={"base_model": settings.judge.model}
    )
    changed = dataclasses.replace(settings, students={fake_run.STUDENT: same})
    _, after = render(copied, monkeypatch, settings=changed)
    assert "student Tiny student" in after
    assert "need not hold for a student of another family" in after


def test_summary_is_flat_numbers_from_the_inputs(rendered):
    summary = json.loads((rendered / "metrics/summary.json").read_text())
    assert all(isinstance(value, int | float) for value in summary.values())
    assert summary["queries"] == 40
    assert summary["accepted_share"] == pytest.approx((30 + 28 + 38) / 120)
    assert summary["mean_attempts"] == pytest.approx(270 / 120)
    assert summary["ungradable"] == 6
    assert summary["score_worked"] > summary["score_smollm2_cool"]


def test_the_three_scores_are_side_by_side_for_each_benchmark_and_teacher(rendered, markdown):
    table = markdown.partition("Table 3.")[2].partition("\n\n")[2].partition("\n\n")[0].splitlines()
    header = [cell.strip() for cell in table[0].strip("|").split("|")]
    assert header[2:] == [
        *("Strict", "Lenient", "Finished", "Items finished", "Cut, %", "Unread, %"),
        "Against untrained",
    ]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table[2:]]
    assert len(rows) == 3 * (len(fake_run.TEACHERS) + 1)  # two benchmarks and their mean
    for row in rows:
        strict, lenient, finished, _, cut, unread = map(float, row[2:8])
        assert re.match(r"[+−]\d|–", row[8])
        assert strict <= lenient
        assert strict <= finished
        assert 0 < cut < 30
        assert 0 <= unread < 10
    assert any(row[2] != row[3] for row in rows)
    assert any(row[2] != row[4] for row in rows)
    assert any(float(row[7]) for row in rows)
    summary = json.loads((rendered / "metrics/summary.json").read_text())
    mean = next(row for row in rows if row[0] == "Mean of benchmarks" and "Worked" in row[1])
    names = ("strict", "lenient", "finished", "cut", "unread")
    shown = [mean[2], mean[3], mean[4], mean[6], mean[7]]
    assert [f"{100 * summary[f'{name}_worked']:.1f}" for name in names] == shown
    assert summary["score_worked"] == summary["strict_worked"]


@pytest.mark.parametrize("kind", ["lenient", "finished"])
def test_the_parameter_names_the_score_that_the_headline_uses(copied, monkeypatch, kind):
    settings = fake_run.settings()
    benchmark = settings.benchmark.model_copy(update={"score": kind})
    settings = dataclasses.replace(settings, benchmark=benchmark)
    _, markdown = render(copied, monkeypatch, settings=settings)
    summary = json.loads((copied / "metrics/summary.json").read_text())
    assert summary["score_worked"] == summary[f"{kind}_worked"] != summary["strict_worked"]
    best = f"{100 * summary['score_worked']:.1f} % pass@1 ({kind} score)"
    assert best in markdown.partition("## Scores")[0]
    assert f"Table 1. pass@1 in % ({kind} score)" in markdown


def test_items_that_differ_between_teachers_are_counted_for_each(copied, monkeypatch):
    folder = copied / "data/samples" / fake_run.STUDENT / "worked" / str(fake_run.SEED)
    cut_all_of_item = [
        msgspec.structs.replace(s, finish_reason="length") if s.item_id == "sums-003" else s
        for s in read_table(folder, Sample)
    ]
    write_table(folder, Sample, cut_all_of_item)
    settings = fake_run.settings()
    benchmark = settings.benchmark.model_copy(update={"score": "finished"})
    settings = dataclasses.replace(settings, benchmark=benchmark)
    _, markdown = render(copied, monkeypatch, settings=settings)
    table = markdown.partition("Table 1.")[2].partition("Table 2.")[0]
    assert re.search(r"\| sums \| SmolLM2 cool [^\n]* \| 24 \| 96 \|\n", table)
    assert re.search(r"\| sums \| Worked [^\n]* \| 23 \| 96 \|\n", table)


def test_the_readme_takes_its_tables_from_the_report(markdown):
    spec = importlib.util.spec_from_file_location("readme_tool", README_TOOL)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    for caption in tool.TABLES:
        lines = tool.table(markdown, caption).splitlines()
        assert lines[0].startswith(caption)
        assert len(lines) > 4
        assert all(line.startswith("|") for line in lines[2:])


def test_plot_files_hold_the_rows_that_dvc_draws(rendered):
    funnel = (rendered / "plots/funnel.csv").read_text().splitlines()
    assert funnel[:2] == ["teacher,stage,rows", "smollm2_cool,queries,40"]
    scores = (rendered / "plots/scores.csv").read_text().splitlines()
    assert scores[0] == "task,teacher,student,score,low,high"
    assert len(scores) == 1 + 3 * 4  # with the untrained student
    lengths = (rendered / "plots/lengths.csv").read_text().splitlines()
    assert sum(int(line.split(",")[2]) for line in lengths[1:]) == 3 * 24


def test_rows_too_long_for_a_student_are_a_step_of_the_funnel(copied, monkeypatch):
    fit = {
        "max_length": 512,
        "fits_all": 23,
        "too_long": {"smollm2_cool": 0, "smollm2_warm": 1, "worked": 0},
        "trained": {t: {"rows": 23, "loss_tokens": 990} for t in fake_run.TEACHERS},
    }
    path = copied / f"metrics/fit/{fake_run.STUDENT}.json"
    write_json(path, fit)
    _, markdown = render(copied, monkeypatch)
    funnel = (copied / "plots/funnel.csv").read_text().splitlines()
    assert f"worked,fit {fake_run.STUDENT},23" in funnel
    assert not any("trained" in line for line in funnel)
    cells = [" ".join(line.split()) for line in markdown.splitlines()]
    assert [line.endswith("| 512 | 1 | 23 | 23 | 990 |") for line in cells].count(True) == 1
    assert [line.endswith("| 512 | 0 | 23 | 23 | 990 |") for line in cells].count(True) == 2
    write_json(path, fit | {"trained": fit["trained"] | {"worked": {"rows": 9, "loss_tokens": 7}}})
    render(copied, monkeypatch)
    funnel = (copied / "plots/funnel.csv").read_text().splitlines()
    assert f"worked,trained {fake_run.STUDENT},9" in funnel


def test_a_teacher_that_is_only_asked_is_in_the_funnel_and_not_ranked(copied, monkeypatch):
    _, markdown = render(copied, monkeypatch, compared=["smollm2_cool", "smollm2_warm"])
    funnel = (copied / "plots/funnel.csv").read_text().splitlines()
    stages = {line.split(",")[1] for line in funnel if line.startswith("worked,")}
    assert stages == {"queries", "answered", "passed", "kept"}
    assert "smollm2_warm,parallel,24" in funnel
    scores = (copied / "plots/scores.csv").read_text()
    assert "smollm2_warm" in scores
    assert "worked" not in scores
    scoreboard = markdown.partition("Table 1.")[2].partition("## From queries")[0]
    names = teacher_names(fake_run.settings().teachers)
    assert names["smollm2_warm"] in scoreboard
    assert names["worked"] not in scoreboard
    assert "No answer" not in markdown


def test_side_by_side_shows_the_first_query_by_id_of_each_category(run):
    files = inputs.read_run(run, fake_run.TEACHERS, fake_run.TRAINED)
    rows = [fake_run.example("worked", n, 5, "") for n in range(24)]
    expected = {min(row.query_id for row in rows if row.category == c) for c in fake_run.CATEGORIES}
    assert set(files.chosen) == expected
    assert all(list(found) == fake_run.TEACHERS for found in files.chosen.values())


def test_perplexity_has_values_before_and_after_the_filter(run):
    found = inputs.read_run(run, fake_run.TEACHERS, []).perplexities["worked"]
    assert len(found["verified"]) == 90
    assert len(found["kept"]) == 24


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("metrics/align.json", "{"),
        ("metrics/align.json", "[]"),
        (f"plots/sft/{fake_run.STUDENT}/worked/{fake_run.SEED}.csv", "step,loss\n1,much\n"),
        (f"plots/sft/{fake_run.STUDENT}/worked/{fake_run.SEED}.csv", "epoch\n1\n"),
    ],
)
def test_a_broken_file_is_named(copied, name, content):
    (copied / name).write_text(content)
    with pytest.raises(inputs.ReportError, match=re.escape(name)):
        inputs.read_run(copied, fake_run.TEACHERS, fake_run.TRAINED)


def test_a_broken_table_is_named(copied):
    folder = copied / "data/aligned/worked"
    shard = next(folder.glob("*.parquet"))
    shard.write_bytes(b"PAR1 no more")
    with pytest.raises(inputs.ReportError, match=re.escape(str(shard))):
        inputs.read_run(copied, fake_run.TEACHERS, [])
    shard.unlink()
    with pytest.raises(TableError, match="no table here"):
        inputs.read_run(copied, fake_run.TEACHERS, [])


def test_labels_that_repeat_get_their_id():
    teachers = fake_run.settings().teachers
    cool = teachers["smollm2_cool"]
    assert teacher_names({"a": cool, "b": cool}) == {
        "a": "SmolLM2 cool [a]",
        "b": "SmolLM2 cool [b]",
    }


@pytest.mark.parametrize("text", ["plain", "```", "a ````` b", "~~~", "line\r\nline", "\x00"])
def test_a_fence_cannot_be_closed_from_inside(text):
    first, *inside, last = page.markdown_fence(text).split("\n")
    assert first == f"{last}text"
    assert not any(line.strip().startswith(last) for line in inside)
    assert "\x00" not in "".join(inside)


@pytest.mark.parametrize(
    ("text", "markdown"),
    [
        ("40.6 [1, 2]", "40.6 \\[1, 2\\]"),
        ("1. item", "1\\. item"),
        ("- item", "\\- item"),
        ("-3.5", "-3.5"),
        ("a|b\n<b>", "a\\|b \\<b\\>"),
    ],
)
def test_markdown_text_renders_as_itself(text, markdown):
    assert page.markdown_text(text) == markdown


def test_a_chart_escapes_the_names_it_shows():
    rows = [{"teacher": "t", "stage": "if", "rows": 3}]
    svg = charts.funnel(rows, {"t": "<script>a</script>"})
    assert "<script" not in svg
    assert "&lt;script&gt;" in svg


def test_where_rule_and_judge_disagree_both_are_shown(html, markdown):
    for shown in (html, markdown):
        assert "Where rule and judge disagree" in shown
        assert "pass: judge says yes" in shown
        assert "ab" * 16 in shown


def test_what_rests_on_the_judge_is_counted_beside_its_own_measure(html, markdown):
    assert "| math | 5 of 31 | 1 of 38 | 0 of 6 | 3 | 83.3 \\[43.6, 97.0\\] |" in markdown
    assert "| science | 0 of 31 | 0 of 38 | 0 of 6 | 3 | nothing accepted |" in markdown
    rows = [n for n in range(24) if n % 4 == 0]
    parallel = markdown.partition("Rows of the parallel set that only the judge accepted")[2]
    table = re.search(r"(?:^\|.*\n)+", parallel, re.MULTILINE)[0]
    counted = [int(n) for n in re.findall(r"(\d+) of \d+ ", table)]
    assert sum(counted) == len(fake_run.TEACHERS) * len(rows)
    assert "2 of " in markdown.partition("Attempts that only the judge accepted")[2][:400]
    assert "nothing accepted" in html


def test_a_judge_that_was_not_measured_is_stated(copied, monkeypatch):
    (copied / "metrics/judge_audit.json").unlink()
    _, markdown = render(copied, monkeypatch)
    assert "The judge was not measured on golden questions." in markdown


def test_lighteval_s_score_is_beside_ours(copied, monkeypatch):
    settings = fake_run.settings()
    theirs = {"kind": "lighteval", "task": "aime24", "count": 24, "samples": 4}
    tasks = [
        type(task).model_validate({"id": task.id} | theirs) for task in settings.benchmark.tasks
    ]
    benchmark = settings.benchmark.model_copy(update={"tasks": tasks})
    example = {"item_id": "i7", "sample": 0, "reference": "204", "answer": fake_run.HOSTILE}
    compared = {
        "compared": 96,
        "lighteval": 0.5,
        "ours": 0.25,
        "disagree": 0.25,
        "unread": 3,
        "items_read": True,
        "examples": [example | {"lighteval": 1.0, "ours": 0.0}],
    }
    facts = {
        "sums": {"by_our_rule": compared},
        "letters": {"by_our_rule": {"items_read": False, "compared": 0, "unread": 0}},
    }
    by_teacher = {teacher: {str(fake_run.SEED): facts} for teacher in fake_run.TEACHERS}
    write_json(copied / f"metrics/benchmark/{fake_run.STUDENT}.json", by_teacher)
    write_json(copied / f"metrics/benchmark_untrained/{fake_run.STUDENT}.json", facts)
    html, markdown = render(
        copied, monkeypatch, settings=dataclasses.replace(settings, benchmark=benchmark)
    )
    assert "| sums | SmolLM2 cool | smollm2\\_135m | 7 | 50.0 | 25.0 | 25.0 | 96 | 3 |" in markdown
    assert "| sums | untrained | smollm2\\_135m | 0 | 50.0 | 25.0 | 25.0 | 96 | 3 |" in markdown
    assert "sums: right by lighteval, wrong by our rule" in html
    assert "reference: 204" in html
    assert "&lt;script&gt;alert(" in html
    assert html.count("sums: right by lighteval") == 4
    assert "their items were not read: letters." in html


def test_every_training_and_control_is_read_and_what_others_left_is_removed(copied, monkeypatch):
    """Two seeds, an alias and a shuffled control: all of them are read, and the ranking has none of the controls."""
    student, shuffled = fake_run.STUDENT, "worked_shuffled"
    for teacher in (*fake_run.TEACHERS, shuffled):
        of = teacher.removesuffix("_shuffled")
        for kind in ("data/samples", "plots/sft", "metrics/sft"):
            for old in (copied / kind / student / of).glob(f"{fake_run.SEED}*"):
                for name in (f"8{old.suffix}", old.name):
                    new = copied / kind / student / teacher / name
                    if not new.exists():
                        new.parent.mkdir(exist_ok=True)
                        (shutil.copytree if old.is_dir() else shutil.copy)(old, new)
    left = copied / "plots/sft" / student / "worked/9.csv"
    left.write_text("step,loss\n")
    settings = dataclasses.replace(
        fake_run.settings(),
        training_seeds=[fake_run.SEED, 8],
        controls=Controls(alias=["smollm2_warm"], shuffled=["worked"]),
    )
    _, markdown = render(copied, monkeypatch, settings=settings)
    assert not left.exists()
    assert "No benchmark answers were found" not in markdown
    runs = markdown.partition("Training runs")[2].partition("##")[0]
    label = r"Worked solutions (replay, not a model), answers shuffled | smollm2\_135m | 8 |"
    assert label in runs
    scores = (copied / "plots/scores.csv").read_text()
    assert "smollm2_cool" in scores
    assert "smollm2_warm" not in scores
    assert "shuffled" not in scores
    trained = [
        Condition(teacher, student, seed)
        for teacher in (*fake_run.TEACHERS, shuffled)
        for seed in (7, 8)
    ]
    files = inputs.read_run(copied, fake_run.TEACHERS, trained)
    assert list(files.samples) == [*trained, Condition(UNTRAINED, student, 0)]
    assert set(files.losses) == set(files.sft) == set(trained)
