"""Builds a release from the teachers' aligned examples: shards, card, figures, provenance and manifest, with a lint."""
