"""Running stages side by side, which `dvc repro` does one after the other."""
