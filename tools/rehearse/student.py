"""A training of two steps of a profile's student on a tiny model of its family, through the code of stage `sft`."""

import contextlib
import io
from collections.abc import Sequence
from pathlib import Path

from stillhouse.errors import StillhouseError
from stillhouse.params.load import load_student
from stillhouse.records import Example
from stillhouse.sft.chosen import StepBudget, write_ids
from stillhouse.sft.train import Training, train
from stillhouse.tables.write import write_table
from tools.rehearse.project import SEED, Copy, RehearsalError


def train_once(copy: Copy, student: str, examples: Sequence[Example]) -> Training:
    """Run the gates and `STEPS` steps, with the profile's template and recipe.

    Args:
        copy: The working copy.
        student: The student's id.
        examples: What it is trained on.

    Raises:
        StillhouseError: a gate refuses the template or an example, or the training fails.
    """
    with contextlib.chdir(copy.folder):
        file = load_student(student)
        table, ids, out = Path("scripted"), Path("scripted_ids"), Path("trained", student)
        write_table(table, Example, examples)
        write_ids(ids, [example.query_id for example in examples], StepBudget(None))
        try:
            with contextlib.redirect_stdout(io.StringIO()):  # the trainer prints each step
                return train(table, ids, file.student, file.runtime, SEED, out)
        except StillhouseError:
            raise
        # What torch, transformers and TRL raise differs by version, hence the width.
        except Exception as error:
            raise RehearsalError(f"the training failed: {type(error).__name__}: {error}") from error
