"""Builds the provenance of a release: an in-toto statement (https://in-toto.io/Statement/v1) with an SLSA v1 predicate.

It links the hashes of the shards to the parameters, sources, models, engine facts, input tables and locks behind them.
The git commit and the hash of dvc.lock are not part of it. The output of a stage must not change if only the git
history changed, and dvc.lock contains the hash of this output. The publish receipt has both.
"""

import re
from pathlib import Path
from typing import Any

from stillhouse.errors import StillhouseError
from stillhouse.hashing import file_sha256
from stillhouse.package.facts import Repository, RunFacts
from stillhouse.params.teacher import Teacher

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:stillhouse:release:v2"
BUILDER = "urn:stillhouse:stage:package"


def statement(facts: RunFacts, repo: Repository, shards: dict[str, str]) -> dict[str, Any]:
    """Return the statement of one repository, JSON-ready.

    Args:
        facts: parameters and materials of the run.
        repo: the repository.
        shards: the sha256 of each shard, by path.
    """
    teachers = {teacher: facts.teachers[teacher] for teacher in repo.teacher_ids}
    sections = {
        "run": facts.run,
        "package": facts.package,
        "queries": facts.queries,
        "generate": facts.generate,
        "verify": facts.verify,
        "perplexity": facts.perplexity,
        "filter": facts.filter,
    }
    models = {f"teacher:{teacher}": part.spec for teacher, part in teachers.items()}
    if facts.judge is not None:
        models["judge"] = facts.judge
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": name, "digest": {"sha256": sha}} for name, sha in shards.items()],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {
                    **{name: section.model_dump(mode="json") for name, section in sections.items()},
                    "benchmark_tasks": [t.model_dump(mode="json") for t in facts.benchmark_tasks],
                    "teacher_ids": list(facts.teachers),
                    "compared_ids": list(facts.compared_ids),
                    "models": {name: m.model_dump(mode="json") for name, m in models.items()},
                },
                "internalParameters": {
                    "fingerprints": {name: part.fingerprint for name, part in teachers.items()}
                },
                "resolvedDependencies": [
                    *(_model(name, model) for name, model in models.items()),
                    _resource("scorer", facts.perplexity.model, facts.perplexity.revision),
                    *(
                        _resource(f"source:{name}", part["repo"], part["revision"])
                        for name, part in facts.queries_metrics["by_source"].items()
                        if "repo" in part
                    ),
                    *(
                        {"name": path, "digest": {"dvcMd5": md5}}
                        for path, md5 in sorted(facts.inputs.items())
                    ),
                    *(
                        {"name": path.as_posix(), "digest": {"sha256": file_sha256(path)}}
                        for path in sorted(facts.locks)
                    ),
                ],
            },
            "runDetails": {"builder": {"id": BUILDER}},
        },
    }


def dvc_digests(lock: Path, paths: list[str]) -> dict[str, str]:
    """Return the md5 of outs from dvc.lock, by path.

    Raises:
        StillhouseError: an out is not in the lock.
    """
    import yaml

    # params.read_yaml uses a pure Python loader, which takes seconds for a lock of thousands of lines.
    stages = yaml.load(lock.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)["stages"]
    known = {
        out["path"]: out["md5"]
        for stage in stages.values()
        for out in stage.get("outs", [])
        if "md5" in out
    }
    missing = [path for path in paths if path not in known]
    if missing:
        raise StillhouseError(
            f"{lock}: no hash of {', '.join(missing)}; run the stages that make them by `dvc repro`"
        )
    return {path: known[path] for path in paths}


def _model(name: str, model: Teacher) -> dict[str, Any]:
    return _resource(name, model.model, model.revision)


def _resource(name: str, uri: str, revision: str) -> dict[str, Any]:
    """Return an in-toto resource descriptor. A revision of 40 hex digits is a git commit, of 64 a file's sha256."""
    resource: dict[str, Any] = {"name": name, "uri": f"{uri}@{revision}"}
    kind = {40: "gitCommit", 64: "sha256"}.get(len(revision))
    if kind is not None and re.fullmatch("[0-9a-f]+", revision):
        resource["digest"] = {kind: revision}
    return resource
