"""Training students, one per teacher, on the same queries. No teacher and no benchmark may come in here."""
