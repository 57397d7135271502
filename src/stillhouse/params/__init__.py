"""The shape of every YAML file that a user writes, and the one way a stage reads it.

`params.yaml` holds the parameters of a run, `conf/teachers/<id>.yaml` one teacher (also a judge),
`conf/students/<id>.yaml` one student. Unknown or missing keys are errors that name file, key and what is allowed. A
stage gets only what it declares under `params:` in dvc.yaml (`stage.load_stage`), so that nothing untracked can change
an output. `conf/runtime.yaml` is the exception by design: it says where each teacher and student runs and how fast,
changes no output, and is tracked by no stage.

Import each name from the module that defines it: a section of params.yaml from the module of its name, models of a
teacher or student from `teacher` or `student`.
"""
