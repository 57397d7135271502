"""Stores the answer of every model call, and checks, compacts, exports and imports the stored answers."""
