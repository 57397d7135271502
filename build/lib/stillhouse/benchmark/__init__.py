"""The student on the benchmarks of the run: items, lighteval in a process of its own, and the scores that come back."""
