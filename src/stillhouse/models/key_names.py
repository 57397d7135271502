"""The names that parameters have in fingerprints, and so in the keys of the journal.

A key is a hash over these names and their values. They are the journal's own: a parameter that is renamed in the files
keeps its name here, so that an old journal still answers. Parameters of the machine are in no key.
"""

from typing import Any

from stillhouse.params.filter import PerplexityScorer
from stillhouse.params.request import RequestOptions
from stillhouse.params.teacher import Sampling, Teacher
from stillhouse.params.verify import RewardModel


def sampling_facts(sampling: Sampling) -> dict[str, Any]:
    """Return the sampling parameters of a request. The names are also those of vLLM's `SamplingParams`."""
    return {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "min_p": sampling.min_p,
        "repetition_penalty": sampling.repetition_penalty,
        "max_tokens": sampling.max_tokens,
    }


def request_facts(options: RequestOptions | None) -> dict[str, Any]:
    """Return what a teacher sets of its requests under `request`; nothing if it sets nothing, as in old keys."""
    found = options.model_dump(exclude_defaults=True) if options is not None else {}
    return {"request": found} if found else {}


def teacher_facts(teacher: Teacher) -> dict[str, Any]:
    """Return the parameters of a teacher that are part of the key of a judge's verdict."""
    reasoning = teacher.reasoning
    return {
        "engine": teacher.engine,
        "model": teacher.model,
        "revision": teacher.revision,
        "reasoning": reasoning if isinstance(reasoning, str) else reasoning.model_dump(),
        "system_prompt": teacher.system_prompt,
        "dtype": teacher.dtype,
        "max_model_len": teacher.max_model_len,
        "batch_invariant": teacher.batch_invariant,
        "sampling": teacher.sampling and sampling_facts(teacher.sampling),
        **request_facts(teacher.request),
    }


def student_name(teacher: str, student: str) -> str:
    """Return the name of a student's model: the place of its weights in version 0.1, when each had one training.

    The revision beside it is the hash of the weights, which tells the trainings apart.
    """
    return f"path:models/{teacher}/{student}"


def scorer_facts(scorer: PerplexityScorer) -> dict[str, Any]:
    """Return the parameters of the model that scores perplexity."""
    return {
        "model": scorer.model,
        "revision": scorer.revision,
        "dtype": scorer.dtype,
        "max_tokens": scorer.max_tokens,
    }


def reward_facts(reward: RewardModel) -> dict[str, Any]:
    """Return the parameters of a reward model."""
    return {
        "model": reward.model,
        "revision": reward.revision,
        "dtype": reward.dtype,
        "max_tokens": reward.max_tokens,
        "attributes": reward.attributes,
    }
