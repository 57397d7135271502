"""Statistics of a run: intervals, lengths, mixture. Input are columns, output are tidy rows; nothing reads files."""
