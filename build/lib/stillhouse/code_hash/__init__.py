"""The code of each stage, as one hash by meaning: what `dvc repro` compares to decide whether a stage has to run."""
