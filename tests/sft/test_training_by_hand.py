"""Training on tiny random models of the families that students come from, checked by hand."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from stillhouse.params.load import load_student
from stillhouse.params.recipe import Lora
from stillhouse.params.student import Student, StudentRuntime
from stillhouse.records import Example
from stillhouse.sft import train as sft
from stillhouse.sft.encoding import Encoder
from stillhouse.sft.gates import IGNORED, StudentError, set_template
from stillhouse.tables.read import read_table
from stillhouse.tables.write import write_table
from tests.sft.student_examples import all_ids, example
from tests.sft.test_sft import student

pytestmark = pytest.mark.usefixtures("full_environment")
FAMILIES = {
    "qwen2_5": None,
    "qwen3": None,
    "llama3": None,
    "smollm2": "conf/chat_templates/smollm2.jinja",
    "gemma": None,
}
ROWS = 4


@pytest.fixture(scope="module")
def models(full_environment: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    from tests.sft.tiny_families import save_model

    root = tmp_path_factory.mktemp("families")
    return {family: save_model(family, root / family) for family in FAMILIES}


@pytest.fixture
def examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(sft.SCRATCH_VARIABLE, str(tmp_path / "scratch"))
    rows = [example(n, f"It is {2 * n}.", think="Twice." * (n + 1)) for n in range(ROWS)]
    write_table(tmp_path / "examples", Example, rows)
    all_ids(tmp_path / "examples")
    return tmp_path / "examples"


def of_family(family: str, models: dict[str, Path], **recipe: object) -> Student:
    tiny = student(models[family], **recipe)
    return tiny.model_copy(update={"chat_template": FAMILIES[family]})


def encoded_rows(family: str, models: dict[str, Path], examples: Path) -> tuple[Any, list[Any]]:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(models[family])
    turn = set_template(tokenizer, FAMILIES[family])
    encoded = Encoder(tokenizer, turn).encode(read_table(examples, Example))
    return tokenizer, [row for _, row in encoded]


def weights_hash(folder: Path) -> str:
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


@pytest.mark.parametrize("packing", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_first_loss_is_the_mean_over_the_answers_tokens(
    family: str, packing: bool, models, examples, tmp_path
) -> None:
    """By hand: each row alone through the model, minus the log probability of each token of the answer."""
    import torch
    from transformers import AutoModelForCausalLM

    tokenizer, rows = encoded_rows(family, models, examples)
    model = AutoModelForCausalLM.from_pretrained(models[family], dtype=torch.float32).eval()
    total, count = 0.0, 0
    for row in rows:
        with torch.no_grad():
            logits = model(torch.tensor([row.input_ids])).logits[0]
        chances = logits.log_softmax(-1)
        for position, label in enumerate(row.labels):
            if label != IGNORED:
                total -= chances[position - 1, label].item()
                count += 1
        text = tokenizer.decode([label for label in row.labels if label != IGNORED])
        assert text.startswith("<think>\nTwice.")
    tiny = of_family(
        family,
        models,
        max_steps=1,
        global_batch_size=1 if packing else ROWS,
        max_length=1000,
        packing=packing,
    )
    runtime = StudentRuntime(per_device_train_batch_size=1)
    metrics, curve = sft.train(examples, all_ids(examples), tiny, runtime, 7, tmp_path / "model")
    assert metrics["loss_tokens"] == count
    assert metrics["sequences"] == (1 if packing else ROWS)
    assert curve[0][1] == pytest.approx(total / count, abs=2e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_packed_rows_have_no_gradient_to_each_other(
    family: str, models, examples, tmp_path, monkeypatch
) -> None:
    """The loss of one packed row does not depend on any input of the others, and does on its own."""
    import torch

    seen: dict[str, Any] = {}

    def look(trainer: Any, *_: object) -> None:
        seen["trainer"] = trainer
        raise KeyboardInterrupt

    monkeypatch.setattr(sft, "_save", look)
    tiny = of_family(
        family, models, max_steps=1, global_batch_size=1, max_length=1000, packing=True
    )
    with pytest.raises(KeyboardInterrupt):
        sft.train(examples, all_ids(examples), tiny, StudentRuntime(), 7, tmp_path / "model")
    trainer = seen["trainer"]
    batch = next(iter(trainer.get_train_dataloader()))
    positions = batch["position_ids"][0]
    starts = [i for i, position in enumerate(positions.tolist()) if position == 0]
    assert len(starts) == ROWS
    model = trainer.model.eval()
    embedded = model.get_input_embeddings()(batch["input_ids"]).detach().requires_grad_()
    inputs = {k: v for k, v in batch.items() if k not in ("input_ids", "labels")}
    logits = model(inputs_embeds=embedded, **inputs).logits[0]
    bounds = [*starts, len(positions)]
    for number in range(ROWS):
        own = slice(bounds[number], bounds[number + 1])
        loss = logits[own].log_softmax(-1)[:, 0].sum()
        (gradient,) = torch.autograd.grad(loss, embedded, retain_graph=True)
        touched = gradient[0].abs().sum(-1) > 0
        assert touched[own].all()
        assert int(touched.sum()) == own.stop - own.start, f"row {number} sees another row"


def test_another_seed_gives_other_weights_and_the_same_seed_the_same(
    models, examples, tmp_path
) -> None:
    tiny = of_family("qwen2_5", models, global_batch_size=1)
    hashes = []
    for run, seed in enumerate((1, 1, 2)):
        sft.train(examples, all_ids(examples), tiny, StudentRuntime(), seed, tmp_path / str(run))
        hashes.append(weights_hash(tmp_path / str(run)))
    assert hashes[0] == hashes[1] != hashes[2]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_an_adapter_is_trained_and_merged_into_the_released_weights(
    dtype: str, models, examples, tmp_path
) -> None:
    pytest.importorskip("peft")
    from safetensors.torch import load_file
    from transformers import AutoTokenizer, GenerationConfig

    lora = Lora(r=4, lora_alpha=8.0, target_modules=["q_proj", "v_proj"])
    tiny = of_family("qwen2_5", models, max_steps=3, lora=lora, dtype=dtype, learning_rate=1e-2)
    metrics, _ = sft.train(
        examples, all_ids(examples), tiny, StudentRuntime(), 7, tmp_path / "model"
    )
    assert metrics["final_loss"] != metrics["first_loss"]
    before = load_file(models["qwen2_5"] / "model.safetensors")
    after = load_file(tmp_path / "model" / "model.safetensors")
    assert before.keys() == after.keys()
    assert {str(tensor.dtype) for tensor in after.values()} == {f"torch.{dtype}"}
    changed = {name for name in before if not before[name].to(after[name].dtype).equal(after[name])}
    assert changed == {
        name for name in before if "q_proj.weight" in name or "v_proj.weight" in name
    }
    assert not list((tmp_path / "model").glob("*adapter*"))
    assert not list((tmp_path / "scratch" / "sft").glob("*"))
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    ends = GenerationConfig.from_pretrained(tmp_path / "model").eos_token_id
    assert tokenizer.eos_token == "<|im_end|>"
    assert tokenizer.eos_token_id in (ends if isinstance(ends, list) else [ends])
    sft.train(examples, all_ids(examples), tiny, StudentRuntime(), 7, tmp_path / "again")
    assert weights_hash(tmp_path / "model") == weights_hash(tmp_path / "again")


def test_arguments_of_trl_and_transformers_are_passed_on(models, examples, tmp_path) -> None:
    plain = of_family("qwen2_5", models)
    sft.train(examples, all_ids(examples), plain, StudentRuntime(), 7, tmp_path / "plain")
    other = of_family(
        "qwen2_5",
        models,
        sft_config={"optim": "sgd", "lr_scheduler_kwargs": {}},
        model_kwargs={"attn_implementation": "eager", "attention_dropout": 0.5},
    )
    sft.train(examples, all_ids(examples), other, StudentRuntime(), 7, tmp_path / "other")
    assert weights_hash(tmp_path / "plain") != weights_hash(tmp_path / "other")
    assert json.loads((tmp_path / "other/config.json").read_text())["attention_dropout"] == 0.5


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"sft_config": {"optimizer": "sgd"}}, r"sft_config: optimizer: no such argument.*optim"),
        ({"sft_config": {"optim": "best"}}, r"TRL refuses recipe\.sft_config.*best"),
        ({"model_kwargs": {"attention": "eager"}}, r"model_kwargs: attention.*attn_implementation"),
        (
            {"model_kwargs": {"attn_implementation": "none_such"}},
            r"cannot be loaded with.*none_such",
        ),
        (
            {"lora": {"r": 2, "lora_alpha": 4, "target_modules": ["nowhere"]}},
            r"recipe\.lora.*nowhere",
        ),
    ],
)
def test_a_value_that_a_library_does_not_take_is_an_error(
    recipe, message, models, examples, tmp_path
) -> None:
    if "lora" in recipe:
        pytest.importorskip("peft")
    with pytest.raises(StudentError, match=message):
        sft.train(
            examples,
            all_ids(examples),
            of_family("qwen2_5", models, **recipe),
            StudentRuntime(),
            7,
            tmp_path / "m",
        )


def test_a_tracker_that_is_not_installed_is_an_error(models, examples, tmp_path) -> None:
    runtime = StudentRuntime(report_to=["no_such_tracker"])
    with pytest.raises(StudentError, match=r"report_to.*no_such_tracker"):
        sft.train(
            examples, all_ids(examples), of_family("qwen2_5", models), runtime, 7, tmp_path / "m"
        )


def test_dvclive_follows_the_training_and_leaves_the_project_as_it_is(
    models, examples, tmp_path, monkeypatch
) -> None:
    pytest.importorskip("dvclive")
    project = tmp_path / "project"
    project.mkdir()
    git = ["git", "-C", str(project), "-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run([*git, "init", "--quiet"], check=True)
    subprocess.run([*git, "commit", "--quiet", "--allow-empty", "-m", "first"], check=True)
    (project / ".dvc").mkdir()
    (project / "dvc.yaml").write_text("stages: {}\n")
    files = {path.name for path in project.iterdir()}
    plain = of_family("qwen2_5", models)
    sft.train(examples, all_ids(examples), plain, StudentRuntime(), 7, tmp_path / "plain")
    monkeypatch.chdir(project)
    runtime = StudentRuntime(report_to=["dvclive"])
    sft.train(examples, all_ids(examples), plain, runtime, 7, Path("models/student"))
    followed = project / ".stillhouse/dvclive/models/student"
    assert len((followed / "plots/metrics/loss.tsv").read_text().splitlines()) == 4
    assert (project / "dvc.yaml").read_text() == "stages: {}\n"
    assert {path.name for path in project.iterdir()} == files | {".stillhouse", "models"}
    assert weights_hash(tmp_path / "plain") == weights_hash(Path("models/student"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("profile", "student_id"), [("paper", "qwen2_5_32b"), ("single_gpu", "qwen2_5_1_5b")]
)
def test_the_recipe_of_a_profile_makes_its_first_step(
    profile: str, student_id: str, examples, tmp_path, monkeypatch
) -> None:
    """The profile's recipe and runtime as they are, but for the launcher and all steps after the first."""
    from tests.sft.tiny_families import save_model

    base = save_model("qwen2_5", tmp_path / "base", max_position_embeddings=32768)
    file = load_student(student_id, Path("profiles") / profile)
    recipe = file.student.recipe.model_copy(update={"max_steps": 1})
    tiny = file.student.model_copy(
        update={"model": f"path:{base}", "revision": "0" * 40, "recipe": recipe}
    )
    rows = [example(n, f"It is {2 * n}.", think="Twice. " * 5) for n in range(24)]
    write_table(examples, Example, rows)
    metrics, curve = sft.train(
        examples, all_ids(examples), tiny, file.runtime, 7, tmp_path / "model"
    )
    assert metrics["rows"] == 24
    assert metrics["sequences"] == 1
    assert len(curve) == 1
    assert curve[0][1] == pytest.approx(5.8, abs=0.5)  # about the logarithm of the vocabulary
    config = json.loads((tmp_path / "model/config.json").read_text())
    assert config["dtype"] == recipe.dtype


TRAIN = """
import sys
from pathlib import Path
from stillhouse.params.student import Student, StudentRuntime
from stillhouse.sft import train as sft

student = Student.model_validate_json(Path(sys.argv[1]).read_text())
examples = Path(sys.argv[2])
sft.train(examples, examples.parent / "ids", student, StudentRuntime(save_steps=5), 7, Path(sys.argv[3]))
"""


@pytest.mark.slow
def test_a_killed_training_goes_on_to_the_same_weights(models, examples, tmp_path) -> None:
    tiny = of_family("qwen2_5", models, max_steps=100, global_batch_size=1)
    (tmp_path / "student.json").write_text(tiny.model_dump_json())
    program = [sys.executable, "-c", TRAIN, str(tmp_path / "student.json"), str(examples)]
    scratch = tmp_path / "scratch" / "sft"
    process = subprocess.Popen([*program, str(tmp_path / "killed")], start_new_session=True)
    until = time.monotonic() + 300
    while not list(scratch.glob("*/checkpoint-*/trainer_state.json")):
        assert process.poll() is None, "it ended before it was killed"
        assert time.monotonic() < until
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (tmp_path / "killed").exists()
    runtime = StudentRuntime(save_steps=1000)
    resumed = sft.train(examples, all_ids(examples), tiny, runtime, 7, tmp_path / "resumed")
    whole = sft.train(examples, all_ids(examples), tiny, runtime, 7, tmp_path / "whole")
    assert resumed == whole
    assert weights_hash(tmp_path / "resumed") == weights_hash(tmp_path / "whole")


@pytest.mark.slow
def test_two_processes_train_as_one_does(models, examples, tmp_path) -> None:
    """Data parallelism, on CPUs: the rows of a step are shared, and the loss is the mean over all their tokens."""
    import torch
    from safetensors.torch import load_file

    tiny = of_family("qwen2_5", models, max_steps=2, global_batch_size=2)
    (tmp_path / "student.json").write_text(tiny.model_dump_json())
    (tmp_path / "train.py").write_text(TRAIN)
    arguments = [str(tmp_path / name) for name in ("train.py", "student.json", "examples", "two")]
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--standalone"]
    subprocess.run([*launch, *arguments], check=True, timeout=600)
    sft.train(examples, all_ids(examples), tiny, StudentRuntime(), 7, tmp_path / "one")
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    for name in one:
        torch.testing.assert_close(one[name], two[name], atol=1e-4, rtol=1e-3)
