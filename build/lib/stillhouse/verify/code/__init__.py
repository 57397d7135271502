"""Grades programs: extracts them from answers, and runs tests in a sandbox with the referee."""
