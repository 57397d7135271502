"""What the numbers of a run say: intervals, lengths, mixture. Columns in, tidy rows out; no files and no prose."""
