"""The provenance of a release: an in-toto statement (https://in-toto.io/Statement/v1) with an SLSA v1 predicate.

It binds the shards, by hash, to the parameters, sources, models, engine facts and locks that made them. The git commit
is no part of it: outputs of a stage must not change when nothing but the history did. It stands in the publish receipt.
"""

from typing import Any

from stillhouse.params import Generate, Package, Queries, Run, Teacher, Verify

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:stillhouse:release:v1"
BUILDER = "urn:stillhouse:stage:package"


def statement(
    *,
    shards: dict[str, str],
    run: Run,
    package: Package,
    verify: Verify,
    teacher_id: str,
    teacher: Teacher,
    judge: Teacher | None,
    queries: Queries,
    generate: Generate,
    fingerprint: dict[str, Any],
    locks: dict[str, str],
) -> dict[str, Any]:
    """Return the statement, JSON-ready.

    Args:
        shards: path of each shard to its sha256.
        run: identity of the run.
        package: names and terms of the release.
        verify: parameters of verification.
        teacher_id: id of the teacher in the run.
        teacher: the teacher's tracked parameters.
        judge: the judge's tracked parameters; None where only rules verified.
        queries: parameters of the queries stage, its sources with their revisions among them.
        generate: parameters of generation.
        fingerprint: content of the teacher's fingerprint.json.
        locks: path of each requirement lock to its sha256.
    """
    models = {"teacher": teacher} | ({"judge": judge} if judge else {})
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": name, "digest": {"sha256": sha}} for name, sha in shards.items()],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {
                    "run": run.model_dump(mode="json"),
                    "package": package.model_dump(mode="json"),
                    "verify": verify.model_dump(mode="json"),
                    "teacher_id": teacher_id,
                    **{role: model.model_dump(mode="json") for role, model in models.items()},
                    "queries": queries.model_dump(mode="json"),
                    "generate": generate.model_dump(mode="json"),
                },
                "internalParameters": {"fingerprint": fingerprint},
                "resolvedDependencies": [
                    *(_model(role, model) for role, model in models.items()),
                    *(
                        {"name": path, "digest": {"sha256": sha}}
                        for path, sha in sorted(locks.items())
                    ),
                ],
            },
            "runDetails": {"builder": {"id": BUILDER}},
        },
    }


def _model(role: str, model: Teacher) -> dict[str, Any]:
    """Return a model as an in-toto resource descriptor; 40 digits are a git commit, 64 a file's sha256."""
    resource: dict[str, Any] = {"name": role, "uri": f"{model.model}@{model.revision}"}
    kind = {40: "gitCommit", 64: "sha256"}.get(len(model.revision))
    return resource | ({"digest": {kind: model.revision}} if kind else {})
