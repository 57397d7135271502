"""Everything that talks to a model: engines, the journal of their answers, weights, scorer and reward."""
