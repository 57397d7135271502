"""Grades responses: one module per kind of check, a pool of killable worker processes, and a sandbox for model code.

Only the answer part is graded, never the reasoning. A check never guesses: a failure of our own code or machine gives
`ungradable` with a reason. No text of a model is evaluated outside the sandbox. This package does not load models; the
caller passes a judge.
"""
