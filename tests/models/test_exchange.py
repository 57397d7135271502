"""Other weights in a running vLLM engine: they answer as those of a fresh engine, or the engine starts again."""

import asyncio
import json
import shutil
from pathlib import Path

import msgspec
import pytest

from stillhouse.models.engine import Completion, EngineError, Request
from stillhouse.models.exchange import start_needed
from stillhouse.models.vllm_engine import Load, VllmCore, VllmEngine
from stillhouse.params.teacher import Sampling, TeacherRuntime
from stillhouse.records import Message

SAMPLING = Sampling(temperature=0.7, top_p=0.95, max_tokens=12)
# One long prefix, so that a prefix cache that survived an exchange would show.
PROMPTS = ["What is the answer? " * 10 + str(number) for number in range(6)]


def folder_with(path: Path, **texts: str) -> Path:
    path.mkdir(parents=True)
    for name, text in {"config": "{}", **texts}.items():
        (path / f"{name}.json").write_text(text)
    write_tensors(path)
    return path


def write_tensors(folder: Path, dtype: str = "F32") -> None:
    facts = {"w": {"dtype": dtype, "shape": [1], "data_offsets": [0, 4]}}
    head = json.dumps({"__metadata__": {"format": folder.name}, **facts}).encode()
    (folder / "model.safetensors").write_bytes(len(head).to_bytes(8, "little") + head + bytes(4))


def test_equal_folders_need_no_start(tmp_path: Path) -> None:
    old, new = folder_with(tmp_path / "old"), folder_with(tmp_path / "new")
    assert start_needed(old, new, 1) is None
    (new / "README.md").write_text("a card")
    (new / "model.safetensors.index.json").write_text("{}")
    assert start_needed(old, new, 1) is None


def test_whatever_an_exchange_would_keep_needs_a_start(tmp_path: Path) -> None:
    old = folder_with(tmp_path / "old")
    assert "split over 2 devices" in str(start_needed(old, old, 2))
    adapter = folder_with(tmp_path / "adapter", adapter_config="{}")
    assert "LoRA" in str(start_needed(old, adapter, 1))
    other = folder_with(tmp_path / "other", generation_config="{}")
    assert "only one of the two has the file generation_config.json" in str(
        start_needed(old, other, 1)
    )
    (old / "generation_config.json").write_text('{"eos_token_id": 2}')
    assert "differ in generation_config.json" in str(start_needed(old, other, 1))
    halved = folder_with(tmp_path / "halved", generation_config='{"eos_token_id": 2}')
    write_tensors(halved, "F16")
    assert "other tensors" in str(start_needed(old, halved, 1))


def tied_copy(model: Path, folder: Path) -> Path:
    """Copy a model with its output layer tied to the embeddings, as in most small models."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(model, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": True}))
    weights = load_file(folder / "model.safetensors")
    del weights["lm_head.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def changed_copy(model: Path, folder: Path, seed: int) -> Path:
    """Copy a model with other random weights of the same shapes."""
    import torch
    from safetensors.torch import load_file, save_file

    shutil.copytree(model, folder)
    torch.manual_seed(seed)
    weights = load_file(folder / "model.safetensors")
    changed = {name: torch.randn_like(value) * 0.05 for name, value in weights.items()}
    save_file(changed, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def load_of(folder: Path) -> Load:
    return Load(f"path:{folder}", folder.name, "float32", 512)


async def answers(engine: VllmEngine) -> list[Completion]:
    made = await asyncio.gather(
        *(
            engine.complete(
                Request(messages=[Message(role="user", content=text)], seed=seed, query_id=text)
            )
            for seed, text in enumerate(PROMPTS)
        )
    )
    return [msgspec.structs.replace(one, latency_seconds=None) for one in made]


def fresh(folder: Path) -> list[Completion]:
    async def run() -> list[Completion]:
        engine = VllmEngine(VllmCore(load_of(folder), TeacherRuntime()), SAMPLING)
        found = await answers(engine)
        await engine.close()
        return found

    return asyncio.run(run())


@pytest.mark.slow
@pytest.mark.parametrize("tied", [False, True])
def test_exchanged_weights_answer_like_those_of_a_fresh_engine(
    tiny_model: Path, tmp_path: Path, tied: bool
) -> None:
    base = tied_copy(tiny_model, tmp_path / "tied") if tied else tiny_model
    folders = [changed_copy(base, tmp_path / f"m{seed}", seed) for seed in (1, 2, 3)]
    # A difference that makes vLLM start again.
    (folders[2] / "generation_config.json").write_text('{"eos_token_id": 1}')
    expected = [fresh(folder) for folder in folders]
    assert len({msgspec.json.encode(found) for found in expected}) == 3
    core = VllmCore(load_of(folders[0]), TeacherRuntime())
    engines = [VllmEngine(core, SAMPLING, load=load_of(folder)) for folder in folders]

    async def run() -> tuple[list[list[Completion]], list[list[Completion]]]:
        # One after the other, then all at once: a request waits for its weights.
        one_by_one = [await answers(engines[i]) for i in (0, 1, 0, 2, 1)]
        changes = len(core.changes)
        at_once = await asyncio.gather(*(answers(engine) for engine in engines))
        assert len(core.changes) > changes
        await engines[0].close()
        return one_by_one, list(at_once)

    one_by_one, at_once = asyncio.run(run())
    assert one_by_one == [expected[i] for i in (0, 1, 0, 2, 1)]
    assert at_once == expected
    assert core.changes[:2] == [None, None]
    assert core.changes[2] == core.changes[3] is not None
    assert "generation_config.json" in core.changes[2]


@pytest.mark.slow
def test_weights_that_cannot_be_read_end_the_core_with_their_name(
    tiny_model: Path, tmp_path: Path
) -> None:
    broken = changed_copy(tiny_model, tmp_path / "broken", 1)
    path = broken / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])
    core = VllmCore(load_of(tiny_model), TeacherRuntime())

    async def run() -> None:
        assert await answers(VllmEngine(core, SAMPLING))
        with pytest.raises(EngineError, match=r"vLLM cannot load path:.*broken"):
            await answers(VllmEngine(core, SAMPLING, load=load_of(broken)))

    asyncio.run(run())
    assert "cannot reload" in str(core.changes)
