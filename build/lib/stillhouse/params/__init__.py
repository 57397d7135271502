"""The models of the YAML files that a user writes, and how a stage reads them.

`params.yaml` has the parameters of a run, `conf/teachers/<id>.yaml` one teacher (also a judge),
`conf/students/<id>.yaml` one student. Unknown and missing keys are errors that name file, key and what is allowed. A
stage gets only what it lists under `params:` in dvc.yaml (`stage.load_stage`), so that nothing untracked can change an
output. `conf/runtime.yaml` is the exception: it sets where each teacher and student runs and how fast, it changes no
output, and no stage tracks it.

This file re-exports nothing: import a name from the module that defines it. Each section of params.yaml has a module of
its name (`perplexity` is in `filter`; `run`, `report` and the whole file are in `run`).
"""
