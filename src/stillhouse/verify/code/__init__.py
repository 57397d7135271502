"""Grading of programs: extraction, tests in a sandbox, and the referee that runs there."""
