"""Grades mathematics, science and instruction following by rules; the rules share the parsers of this package."""
