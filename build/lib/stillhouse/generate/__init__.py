"""From queries to answers: the loop that asks a teacher until an answer is verified, and the parts of an answer."""
