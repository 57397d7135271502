"""A teacher whose answers come from a published data set."""
