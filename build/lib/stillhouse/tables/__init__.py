"""Writes, reads and joins the tables of one run: sorted by key, read as streams, joined by query id."""
