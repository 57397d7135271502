"""Describes a model by its parameter file alone, without its weights: enough to tell whether two judges are the same.

The revision is a hash of the weights. It therefore also determines the tokenizer and the chat template of the model.
"""

from importlib.metadata import version
from pathlib import Path
from typing import Any

from stillhouse.errors import StillhouseError
from stillhouse.hashing import file_sha256
from stillhouse.models.key_names import reward_facts, teacher_facts
from stillhouse.models.plugin_engine import declared_plugin
from stillhouse.models.vllm_engine import vllm_version
from stillhouse.params.teacher import Teacher
from stillhouse.params.verify import RewardModel


class DeclaredError(StillhouseError):
    """A file that is named in a model's parameter file cannot be read."""


def declared(teacher: Teacher) -> dict[str, Any]:
    """Return the parameters that determine a model's answers, JSON-ready, without name, licence and price.

    Raises:
        DeclaredError: the file of its chat template cannot be read.
    """
    found = teacher_facts(teacher)
    found["made_by"] = vllm_version() if teacher.engine == "vllm" else None
    found["chat_template"] = _file_hash(teacher.chat_template)
    if teacher.plugin is not None:
        found["plugin"] = declared_plugin(teacher.plugin)
    return found


def declared_reward(reward: RewardModel) -> dict[str, Any]:
    """Return the parameters that determine a reward model's scores, JSON-ready."""
    made_by = f"transformers {version('transformers')}, torch {version('torch')}"
    return {**reward_facts(reward), "made_by": made_by}


def _file_hash(path: str | None) -> str | None:
    if path is None:
        return None
    try:
        return file_sha256(Path(path))
    except OSError as error:
        raise DeclaredError(f"chat_template {path}: {error}") from None
