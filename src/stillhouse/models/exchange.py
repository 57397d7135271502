"""Puts other weights into a vLLM engine that runs, in place of a start, which takes minutes for a large model.

vLLM does this itself (`reload_weights`, made for reinforcement learning). It keeps the tokenizer, the generation config
and the shapes of the first model, and it only warns about a tensor that the new weights do not have. So two folders
that differ in more than the values of their tensors need a start. In version 0.32 it also leaves out layers that have
no tensor of their own: on a CPU, an output layer that is tied to the embeddings keeps a packed copy of the old ones.
"""

import gc
import json
from pathlib import Path
from typing import Any

# What decides an answer beside the weights. Chat templates do not: a prompt is rendered before it comes here.
CONFIGURATION = ("*.json", "*.txt", "*.model")
# Lists the shards of the weights, whose tensors are compared themselves.
INDEX = "*.safetensors.index.json"


def shut_down(running: list[Any]) -> None:
    """End an engine and free its memory, for the one that follows."""
    from vllm.platforms import current_platform

    running.pop().engine_core.shutdown()
    gc.collect()
    if not current_platform.is_cpu():
        import torch

        torch.cuda.empty_cache()


def start_needed(old: Path, new: Path, devices: int) -> str | None:
    """Return why the weights of `new` cannot take the place of those of `old`; None where they can.

    Args:
        old: the folder of the model that runs.
        new: the folder of the next model.
        devices: over how many devices the engine splits a model.
    """
    if devices > 1:
        return f"the model is split over {devices} devices"
    if any((folder / "adapter_config.json").exists() for folder in (old, new)):
        return "the weights are a LoRA adapter"
    for name in sorted(_configuration(old) | _configuration(new)):
        files = old / name, new / name
        if not all(file.is_file() for file in files):
            return f"only one of the two has the file {name}"
        if files[0].read_bytes() != files[1].read_bytes():
            return f"the two differ in {name}"
    if tensors(old) != tensors(new):
        return "the two have other tensors"
    return None


def exchange(engine: Any, new: Path) -> str | None:
    """Put the weights of `new` into an engine without open requests; return why vLLM could not, or None.

    After a failure the engine holds a mixture of weights and must not answer.
    """
    try:
        engine.collective_rpc("reload_weights", kwargs={"weights_path": str(new)})
        engine.collective_rpc(_pack_output_layer)
    except Exception as error:  # the type differs by version of vLLM and by what is missing
        return f"vLLM cannot reload weights: {error}"
    # What was computed for a prompt with the old weights must not be reused.
    return None if engine.reset_prefix_cache() else "vLLM cannot empty its prefix cache"


def _pack_output_layer(worker: Any) -> None:
    from vllm.model_executor.layers.vocab_parallel_embedding import ParallelLMHead

    for layer in worker.get_model().modules():
        if isinstance(layer, ParallelLMHead):
            layer.quant_method.process_weights_after_loading(layer)


def tensors(folder: Path) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Return dtype and shape of each tensor of the weights in a folder, by name; no tensor is read."""
    found = {}
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        for name, facts in header.items():
            if name != "__metadata__":
                found[name] = facts["dtype"], tuple(facts["shape"])
    return found


def _configuration(folder: Path) -> set[str]:
    listed = {path.name for pattern in CONFIGURATION for path in folder.glob(pattern)}
    return listed - {path.name for path in folder.glob(INDEX)}
