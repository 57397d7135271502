"""The base of every error that a user can fix: the command line prints its one line and exits with code 2."""


class StillhouseError(Exception):
    """An expected failure; the message names the file, key or row, what was found, and the remedy."""
