"""stillhouse: one query set, N teachers, N parallel verified data sets, and which of them to train on."""
