import hashlib
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from stillhouse.params.load import load_student
from stillhouse.params.student import Recipe, Student, StudentRuntime
from stillhouse.records import Example
from stillhouse.sft import train as sft
from stillhouse.sft.chosen import StepBudget, write_ids
from stillhouse.sft.gates import StudentError
from stillhouse.tables.read import read_table
from stillhouse.tables.write import write_table
from tests.sft.student_examples import TEMPLATE, all_ids, example


def student(folder: Path, **changes: object) -> Student:
    recipe = {
        "learning_rate": 1e-3,
        "lr_scheduler_type": "cosine",
        "warmup_ratio": 0.0,
        "weight_decay": 0.0,
        "global_batch_size": 2,
        "num_train_epochs": 1,
        "max_steps": 3,
        "max_length": 256,
        "packing": False,
        "dtype": "float32",
    }
    return Student(
        label="tiny",
        model=f"path:{folder}",
        revision="0" * 40,
        license="apache-2.0",
        chat_template=str(TEMPLATE),
        turn_format="think_tags",
        recipe=Recipe.model_validate({**recipe, **changes}),
    )


def train(examples: Path, spec: Student, seed: int, out: Path, **runtime: int) -> sft.Training:
    """Train on all rows, as without a budget."""
    return sft.train(examples, all_ids(examples), spec, StudentRuntime(**runtime), seed, out)


@pytest.fixture
def examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(sft.SCRATCH_VARIABLE, str(tmp_path / "scratch"))
    rows = [example(n, f"It is {2 * n}.", think="Twice." if n % 2 else "") for n in range(10)]
    write_table(tmp_path / "examples", Example, rows)
    return tmp_path / "examples"


def weights_hash(folder: Path) -> str:
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


def test_training_is_complete_and_repeats_bit_for_bit(tiny_model, examples, tmp_path) -> None:
    from transformers import AutoTokenizer, GenerationConfig

    runs = [train(examples, student(tiny_model), 7, tmp_path / f"model{i}") for i in range(2)]
    assert runs[0] == runs[1]
    assert weights_hash(tmp_path / "model0") == weights_hash(tmp_path / "model1")
    metrics, curve = runs[0]
    assert (metrics["rows"], metrics["steps"]) == (10, 3)
    assert [step for step, _ in curve] == [1, 2, 3]
    assert metrics["loss_tokens"] < metrics["tokens"]
    assert not list((tmp_path / "scratch").glob("sft/*")), "scratch of a finished run stays behind"
    saved = {path.name for path in (tmp_path / "model0").iterdir()}
    assert {"model.safetensors", "config.json", "tokenizer.json", "chat_template.jinja"} <= saved
    assert "training_args.bin" not in saved
    # The student stops where its turns end, although the base tokenizer's end token is another.
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model0")
    assert tokenizer.eos_token == "<|im_end|>"
    ends = GenerationConfig.from_pretrained(tmp_path / "model0").eos_token_id
    assert tokenizer.eos_token_id in (ends if isinstance(ends, list) else [ends])
    rendered = tokenizer.apply_chat_template([{"role": "user", "content": "Hi"}], tokenize=False)
    assert "generation" not in rendered


def test_a_cut_off_run_goes_on_to_the_same_weights(
    tiny_model, examples, tmp_path, monkeypatch
) -> None:
    tiny = student(tiny_model, max_steps=4)
    whole = train(examples, tiny, 7, tmp_path / "whole", save_steps=2)

    def power_cut(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as cut:
        cut.setattr(sft, "_save", power_cut)
        with pytest.raises(KeyboardInterrupt):
            train(examples, tiny, 7, tmp_path / "cut", save_steps=2)
    (scratch,) = (tmp_path / "scratch" / "sft").iterdir()
    state = scratch / "checkpoint-2" / "trainer_state.json"
    assert json.loads(state.read_text())["global_step"] == 2
    assert not (scratch / "checkpoint-4").exists(), (
        "a resume from the last step would train one more"
    )
    cut_while_writing = scratch / "checkpoint-3"
    cut_while_writing.mkdir()
    (cut_while_writing / "trainer_state.json").write_text('{"global_step": ')
    resumed = train(examples, tiny, 7, tmp_path / "resumed", save_steps=2)
    assert resumed == whole
    assert weights_hash(tmp_path / "resumed") == weights_hash(tmp_path / "whole")


def test_packing_keeps_the_loss_of_each_example(tiny_model, examples, tmp_path) -> None:
    """Packed examples must not see each other: one step over all of them has the loss that it has unpacked."""
    unpacked = student(tiny_model, max_steps=1, global_batch_size=10, max_length=2000)
    packed = student(tiny_model, max_steps=1, global_batch_size=1, max_length=2000, packing=True)
    losses, sequences = [], []
    for i, recipe in enumerate((unpacked, packed)):
        metrics, curve = train(examples, recipe, 7, tmp_path / str(i))
        losses.append(curve[0][1])
        sequences.append(metrics["sequences"])
    assert sequences == [10, 1]
    assert losses[0] == pytest.approx(losses[1], abs=1e-4)


def test_only_the_rows_of_the_ids_are_trained_on(tiny_model, examples, tmp_path) -> None:
    ids = [row.query_id for row in read_table(examples, Example)][::3]
    write_ids(tmp_path / "some", ids, StepBudget(None))
    args = (student(tiny_model), StudentRuntime(), 7)
    metrics, _ = sft.train(examples, tmp_path / "some", *args, tmp_path / "m")
    alone = [row for row in read_table(examples, Example) if row.query_id in ids]
    write_table(tmp_path / "alone", Example, alone)
    assert metrics == train(tmp_path / "alone", args[0], 7, tmp_path / "n").metrics
    assert metrics["rows"] == len(ids) == 4
    assert weights_hash(tmp_path / "m") == weights_hash(tmp_path / "n")


def test_the_form_of_the_turns_is_the_student_s(tiny_model, examples, tmp_path) -> None:
    plain = student(tiny_model)
    tagged = plain.model_copy(update={"turn_format": "answer_tags"})
    counted = [
        train(examples, one, 7, tmp_path / str(i)).metrics["loss_tokens"]
        for i, one in enumerate((plain, tagged))
    ]
    assert counted[1] > counted[0]  # ten pairs of tags more


def test_a_budget_of_steps_comes_before_the_recipe(tiny_model, examples, tmp_path) -> None:
    ids = [row.query_id for row in read_table(examples, Example)][:3]
    write_ids(tmp_path / "few", ids, StepBudget(max_steps=5))
    metrics, _ = sft.train(
        examples, tmp_path / "few", student(tiny_model), StudentRuntime(), 7, tmp_path / "m"
    )
    assert (metrics["rows"], metrics["steps"]) == (3, 5)
    assert metrics["epochs"] == 2.6667  # two steps of batch 2 make an epoch of 3 rows


def test_ids_of_another_run_are_refused(tiny_model, examples, tmp_path) -> None:
    write_ids(tmp_path / "ids", ["f" * 64], StepBudget(None))
    with pytest.raises(StudentError, match="come from different runs"):
        sft.train(
            examples, tmp_path / "ids", student(tiny_model), StudentRuntime(), 7, tmp_path / "m"
        )
    with pytest.raises(StudentError, match="the ids of stage fit are those of another run"):
        train(examples, student(tiny_model, max_length=8), 7, tmp_path / "model")


def test_global_batch_must_be_made_of_device_batches(tiny_model, examples, tmp_path) -> None:
    with pytest.raises(StudentError, match="not a multiple"):
        train(
            examples,
            student(tiny_model),
            7,
            tmp_path / "model",
            per_device_train_batch_size=3,
        )


def test_a_missing_template_is_named(tiny_model, examples, tmp_path) -> None:
    lost = student(tiny_model).model_copy(update={"chat_template": "nowhere.jinja"})
    with pytest.raises(StudentError, match=r"nowhere\.jinja"):
        train(examples, lost, 7, tmp_path / "model")


def test_loss_curve_file(tmp_path) -> None:
    sft.write_curve(tmp_path / "plots" / "s.csv", [(1, 2.5), (2, 2.25)])
    expected = "step,loss\n1,2.500000\n2,2.250000\n"
    assert (tmp_path / "plots" / "s.csv").read_text() == expected


def test_accelerate_starts_the_script_once(tmp_path, monkeypatch) -> None:
    config = tmp_path / "fsdp.yaml"
    config.write_text("distributed_type: FSDP\n")
    runtime = StudentRuntime(accelerate_config=str(config))
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    assert sft.launch_command(StudentRuntime()) is None
    command = sft.launch_command(runtime)
    assert command is not None
    assert str(config) in command
    monkeypatch.setenv("LOCAL_RANK", "0")
    assert sft.launch_command(runtime) is None
    monkeypatch.delenv("LOCAL_RANK")
    with pytest.raises(StudentError, match=r"gone\.yaml"):
        sft.launch_command(StudentRuntime(accelerate_config="gone.yaml"))


def test_srun_starts_accelerate_on_each_machine_of_a_slurm_job(tmp_path, monkeypatch) -> None:
    """A stand-in for srun runs what Slurm would run on two machines; a stand-in for accelerate prints its arguments."""
    package = tmp_path / "accelerate" / "commands"
    package.mkdir(parents=True)
    for folder in (package, package.parent):
        (folder / "__init__.py").touch()
    (package / "launch.py").write_text("import sys; print(*sys.argv[1:], sep='|')")
    srun = tmp_path / "srun"
    srun.write_text(
        '#!/bin/bash\nshift 2\nfor node in 0 1; do SLURM_NODEID=$node "$@" || exit; done\n'
    )
    srun.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    monkeypatch.setattr(sys, "argv", ["stages/sft.py", "a teacher", "student"])
    monkeypatch.setenv("SLURM_NNODES", "2")
    monkeypatch.delenv("SLURM_GPUS_ON_NODE", raising=False)
    runtime = StudentRuntime(accelerate_config="conf/accelerate/fsdp2.yaml")
    with pytest.raises(StudentError, match="--gpus-per-node"):
        sft.launch_command(runtime)
    monkeypatch.setenv("SLURM_GPUS_ON_NODE", "8")
    command = sft.launch_command(runtime)
    assert command is not None
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    wanted = (
        "--config_file|conf/accelerate/fsdp2.yaml|--num_machines|2|--num_processes|16|--main_process_ip|"
        f"{socket.gethostname()}|--main_process_port|29500|--machine_rank|NODE|stages/sft.py|a teacher|student"
    )
    assert printed.splitlines() == [wanted.replace("NODE", node) for node in "01"]


@pytest.mark.parametrize(
    ("name", "kind", "processes"),
    [("single_gpu", "NO", 1), ("ddp", "MULTI_GPU", 8), ("fsdp2", "FSDP", 8)],
)
def test_accelerate_reads_the_committed_configurations(tiny_model, name, kind, processes) -> None:
    from accelerate.commands.config.config_args import load_config_from_file

    config = load_config_from_file(f"conf/accelerate/{name}.yaml")
    assert (config.distributed_type.value, config.num_processes) == (kind, processes)
    assert config.fsdp_config.get("fsdp_version") == (2 if name == "fsdp2" else None)


def test_the_embedded_student_is_valid() -> None:
    file = load_student("smollm2_135m")
    assert file.student.recipe.global_batch_size % file.runtime.per_device_train_batch_size == 0
    assert Path(file.student.chat_template).is_file()
