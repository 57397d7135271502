"""Replays the answers of a published data set as a teacher."""
