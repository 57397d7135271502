"""The store of every model call, and what keeps it sound."""
