"""Tables of one run: written sorted, read as streams, joined by query id."""
