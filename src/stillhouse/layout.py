"""Where the files of a run are, relative to the project folder. dvc.yaml gives the same places to the stages."""

from pathlib import Path

BENCHMARK_ITEMS = Path("data/benchmark_items")
CURATED_QUERIES = Path("data/queries/curated")
REJECTED_QUERIES = Path("data/queries/rejected")
CONTAMINATION = Path("data/queries/contamination.json")
CONFLICTS = Path("data/queries/conflicts.json")
RELEASE = Path("data/release")
REPORT = Path("report")
LOCK = Path("dvc.lock")
RECEIPTS = Path("publish/receipts")
STUDENT_RECEIPTS = Path("publish/students/receipts")
# In the place of a teacher's id: the base model of a student, without training.
UNTRAINED = "untrained"
SHUFFLED = "_shuffled"  # ends the id of the control that is trained on a teacher's answers to other queries


def attempts(teacher: str) -> Path:
    """Return the table of all responses of a teacher."""
    return Path("data/responses", teacher, "attempts")


def teacher_record(teacher: str) -> Path:
    """Return the file with the parameters that a teacher's responses were generated with."""
    return Path("data/responses", teacher, "teacher.json")


def judge_record(teacher: str) -> Path:
    """Return the file with the parameters of the judge that a teacher's responses were generated with."""
    return Path("data/responses", teacher, "judge.json")


def fingerprint(teacher: str) -> Path:
    """Return the file with the facts of the engine that generated a teacher's responses."""
    return Path("data/responses", teacher, "fingerprint.json")


def unmatched(teacher: str) -> Path:
    """Return the file with the rows of a replay that belong to no query."""
    return Path("data/responses", teacher, "unmatched.jsonl")


def unanswered(teacher: str) -> Path:
    """Return the file with the queries that a teacher refused or that failed in all tries, and the reasons."""
    return Path("data/responses", teacher, "unanswered.jsonl")


def verdicts(teacher: str) -> Path:
    """Return the table of the verdicts on a teacher's responses."""
    return Path("data/verdicts", teacher)


def perplexities(teacher: str) -> Path:
    """Return the table of the perplexities of a teacher's verified responses."""
    return Path("data/perplexity", teacher)


def accepted(teacher: str) -> Path:
    """Return the table of a teacher's accepted examples."""
    return Path("data/filtered", teacher, "accepted")


def decisions(teacher: str) -> Path:
    """Return the table of the filter's decisions on a teacher's responses."""
    return Path("data/filtered", teacher, "decisions")


def aligned(teacher: str) -> Path:
    """Return the table of a teacher's examples in the parallel set."""
    return Path("data/aligned", teacher)


def fit(student: str) -> Path:
    """Return the folder of a student's token lengths, and of the ids that it is trained on."""
    return Path("data/fit", student)


def fit_lengths(student: str) -> Path:
    """Return the table of the lengths of all teachers' rows in a student's tokens."""
    return fit(student) / "lengths"


def training_ids(student: str, teacher: str) -> Path:
    """Return the table of the queries that a student of a teacher is trained on, with the budget beside it."""
    return fit(student) / "ids" / teacher


def shuffled(teacher: str) -> Path:
    """Return the table of a teacher's examples with the answers permuted within each category."""
    return Path("data/shuffled", teacher)


def training_set(teacher: str) -> Path:
    """Return the table that a student is trained on: of a teacher, or of the control `<teacher>_shuffled`."""
    if teacher.endswith(SHUFFLED):
        return shuffled(teacher.removesuffix(SHUFFLED))
    return aligned(teacher)


def student_model(student: str, teacher: str, seed: int) -> Path:
    """Return the folder of the weights of a trained student."""
    return Path("models", student, teacher, str(seed))


def samples(student: str, teacher: str, seed: int) -> Path:
    """Return the table of a trained student's answers to the benchmarks."""
    return Path("data/samples", student, teacher, str(seed))


def samples_untrained(student: str) -> Path:
    """Return the table of the answers of a student that was never trained."""
    return Path("data/samples_untrained", student)


def model_card(student: str, teacher: str) -> Path:
    """Return the folder of the card of a student trained on the answers of one teacher, with any seed."""
    return Path("data/model_cards", student, teacher)


def metrics(stage: str, *ids: str) -> Path:
    """Return the metrics file of a stage; of a stage with a matrix, of one teacher, student, or trained student.

    The ids of a trained student are those of the student, the teacher and the training seed.
    """
    *folders, name = (stage, *ids)
    return Path("metrics", *folders, f"{name}.json")


def effort(*parts: str) -> Path:
    """Return the metrics file of what differs between two runs with the same result: journal hits, seconds."""
    return metrics("effort", *parts)


def plot(*parts: str) -> Path:
    """Return the file with the rows of a plot."""
    *folders, name = parts
    return Path("plots", *folders, f"{name}.csv")
