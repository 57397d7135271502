"""The working copy of a profile: its own files, with tiny models, packaged queries and local addresses in place.

The copy is made by `stillhouse init` in an empty folder; no file of the project or of the user is changed.
"""

import contextlib
import io
import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stillhouse.cli.init import init
from stillhouse.errors import StillhouseError
from stillhouse.params.files import (
    PARAMS_FILE,
    RUNTIME_FILE,
    STUDENTS_FOLDER,
    TEACHERS_FOLDER,
    read_yaml,
)
from stillhouse.params.filter import Filter
from stillhouse.params.load import load_run, load_student, load_teacher
from stillhouse.progress import quiet_libraries
from tools.rehearse import tiny
from tools.rehearse.families import Family, family_of
from tools.rehearse.scripted import EACH

MODELS = Path("tiny")  # in the copy
NO_REVISION = "0" * 40  # a folder has none
MOST_TOKENS = 24  # of an answer; a few answers of the tiny models are longer and are cut
STEPS = 2  # of a training; a warm-up makes the rate of the first one 0
MOST_LENGTH = 512  # tokens of a training sequence
SEED = 1
SUMS = {"min_terms": 2, "max_terms": 2, "min_digits": 1, "max_digits": 1}
# In the place of the profile's sources, which need the Hub: what ships with the project, a dozen or less by category.
SOURCES: list[dict[str, Any]] = [
    {
        "kind": "reasoning_gym",
        "category": "math",
        "generator": "chain_sum",
        "count": EACH,
        "config": SUMS,
    },
    {"kind": "embedded", "category": "code", "name": "code_basics"},
    {"kind": "embedded", "category": "science", "name": "science_basics"},
    {"kind": "embedded", "category": "if", "name": "if_basics"},
    {"kind": "embedded", "category": "multiturn", "name": "multiturn_basics"},
    {"kind": "embedded", "category": "other", "name": "chat_basics"},
]


class RehearsalError(StillhouseError):
    """A part of a profile cannot be rehearsed; the message says why."""


@dataclass(frozen=True)
class Served:
    """A teacher or judge of the profile: its family, and the port of its tiny model; null: in the stage's process."""

    family: Family
    port: int | None


@dataclass
class Copy:
    """A working copy. `replaced` says in one line each what is not the profile's; `refused` what is not rehearsed."""

    folder: Path
    judge: str
    filter: Filter
    teachers: dict[str, Served] = field(default_factory=dict)
    students: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


def make_copy(profile: str, folder: Path, only: tuple[str, ...] = ()) -> Copy:
    """Make the working copy of a profile.

    Args:
        profile: A folder below profiles.
        folder: An empty folder.
        only: The teachers to rehearse; empty: all.

    Raises:
        StillhouseError: there is no such profile, a file of it has a fault, or the judge, the scorer or the reward
            model has an architecture that is not known here.
    """
    quiet_libraries()
    with contextlib.redirect_stdout(io.StringIO()):  # which names the next steps of a real project
        init.main(["--profile", profile, str(folder)], standalone_mode=False)
    run = load_run(folder)
    params = read_yaml(folder / PARAMS_FILE)
    if unknown := sorted(set(only) - set(params["teacher_ids"])):
        raise RehearsalError(
            f"{unknown[0]}: no teacher of profile {profile}; it has {', '.join(params['teacher_ids'])}"
        )
    copy = Copy(folder, run.verify.judge.model, run.filter)
    runtime = read_yaml(folder / RUNTIME_FILE)
    for teacher in [*(only or params["teacher_ids"]), copy.judge]:
        if teacher in copy.teachers:
            raise RehearsalError(
                f"{teacher}: a judge that is a teacher too cannot be rehearsed; leave out the teacher"
            )
        try:
            copy.teachers[teacher] = _replace_teacher(copy, teacher, runtime)
        except StillhouseError as error:
            if teacher == copy.judge:
                raise
            copy.refused.append(f"teacher {teacher}: {error}")
    for student in params["student_ids"]:
        try:
            _replace_student(copy, student, runtime)
            copy.students.append(student)
        except StillhouseError as error:
            copy.refused.append(f"student {student}: {error}")
    _replace_params(copy, params)
    asked = [teacher for teacher in copy.teachers if teacher != copy.judge]
    _write(
        folder / PARAMS_FILE,
        params | dict.fromkeys(("teacher_ids", "compared_ids"), asked),
    )
    _write(folder / RUNTIME_FILE, runtime)
    return copy


def _replace_teacher(copy: Copy, teacher: str, runtime: dict[str, Any]) -> Served:
    spec = load_teacher(teacher, copy.folder).teacher
    if spec.engine not in ("openai", "vllm") or spec.sampling is None:
        raise RehearsalError(f"engine {spec.engine} has no model that could be replaced")
    if spec.reasoning == "separate_field":
        raise RehearsalError(
            "reasoning separate_field needs a server with a reasoning parser, and `stillhouse serve` starts none; "
            "rehearse it with the format of the model's text"
        )
    family = family_of(spec.model)
    name, is_judge = str(MODELS / teacher), teacher == copy.judge
    template = None
    if spec.chat_template is not None:
        template = _read_template(copy.folder / spec.chat_template)
    tiny.write_chat_model(copy.folder / name, family, SEED, template=template, is_judge=is_judge)
    path = copy.folder / TEACHERS_FOLDER / f"{teacher}.yaml"
    content = read_yaml(path)
    own = content["teacher"]
    tokens = min(MOST_TOKENS, spec.sampling.max_tokens)
    own |= {"model": f"path:{name}", "revision": NO_REVISION}
    own["sampling"] |= {"max_tokens": tokens}
    _write(path, content)
    line = f"{teacher}: {spec.model} by a tiny {family.architecture}"
    if spec.chat_template is None:
        line += ", its chat template by ours of the family"
    if tokens < spec.sampling.max_tokens:
        line += f", max_tokens {spec.sampling.max_tokens} by {tokens}"
    port = None
    if spec.engine == "openai":
        port = _free_port()
        entry = runtime.setdefault("teachers", {}).setdefault(teacher, {})
        count = len(entry.get("endpoints", []))
        entry["endpoints"] = [f"http://127.0.0.1:{port}/v1"]
        line += f", {count} endpoint{'s' * (count != 1)} by a local one"
    copy.replaced.append(line)
    return Served(family, port)


def _read_template(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RehearsalError(f"chat_template {path}: {error}; name an existing file") from None


def _replace_student(copy: Copy, student: str, runtime: dict[str, Any]) -> None:
    spec = load_student(student, copy.folder).student
    family = family_of(spec.model)
    name = str(MODELS / student)
    tiny.write_base_model(copy.folder / name, family, SEED)
    path = copy.folder / STUDENTS_FOLDER / f"{student}.yaml"
    content = read_yaml(path)
    length = min(MOST_LENGTH, spec.recipe.max_length)
    content["student"] |= {"model": f"path:{name}", "revision": NO_REVISION}
    content["student"]["recipe"] |= {"max_steps": STEPS, "max_length": length}
    line = f"{student}: {spec.model} by a tiny {family.architecture}, {STEPS} steps"
    line += f", max_length {spec.recipe.max_length} by {length}"
    if (
        spec.recipe.dtype != "float32" and not _has_gpu()
    ):  # transformers trains in bfloat16 on a GPU only
        content["student"]["recipe"]["dtype"] = "float32"
        line += f", {spec.recipe.dtype} by float32"
    entry = (runtime.get("students") or {}).get(student) or {}
    if entry.get("accelerate_config") is not None:
        entry["accelerate_config"] = None
        line += ", accelerate_config by one process"
    _write(path, content)
    copy.replaced.append(line)


def _replace_params(copy: Copy, params: dict[str, Any]) -> None:
    """Put tiny models and packaged data in the place of what a run downloads."""
    queries, benchmark = params["queries"], params["benchmark"]
    copy.replaced.append(
        f"queries: {len(queries['sources'])} sources by {len(SOURCES)} packaged ones, one by category"
    )
    queries["sources"] = [
        {"id": source.get("name", "sums"), "license": "apache-2.0", **source} for source in SOURCES
    ]
    packaged = [task for task in benchmark["tasks"] if task["kind"] != "lighteval"]
    others = [task["id"] for task in benchmark["tasks"] if task["kind"] == "lighteval"]
    if others:
        copy.replaced.append(
            f"benchmark items: {', '.join(others)} of lighteval by generated products"
        )
        generated = {
            "id": "products",
            "kind": "reasoning_gym",
            "generator": "products",
            "count": EACH,
            "samples": 1,
        }
        benchmark["tasks"] = [*packaged, generated]
    params["package"]["namespace"] = "rehearsal"
    reward, embedding = params["verify"].get("reward"), queries["decontaminate"].get("embedding")
    folder = copy.folder / MODELS
    if reward is not None:
        family = _replace_model(copy, "reward", "verify.reward", reward)
        tiny.write_reward_model(folder / "reward", family, SEED, len(reward["attributes"]))
    if embedding is not None:
        family = _replace_model(copy, "embedding", "queries.decontaminate.embedding", embedding)
        tiny.write_encoder(folder / "embedding", family, SEED)
    family = _replace_model(copy, "scorer", "perplexity", params["perplexity"])
    tiny.write_chat_model(folder / "scorer", family, SEED)


def _replace_model(copy: Copy, name: str, key: str, section: dict[str, Any]) -> Family:
    family = family_of(section["model"])
    copy.replaced.append(f"{key}: {section['model']} by a tiny {family.architecture}")
    section |= {"model": f"path:{MODELS / name}", "revision": NO_REVISION}
    return family


def _write(path: Path, content: dict[str, Any]) -> None:
    from ruamel.yaml import YAML

    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    with path.open("w", encoding="utf-8") as file:
        yaml.dump(content, file)


def _has_gpu() -> bool:
    import torch

    return bool(torch.cuda.is_available())


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
