"""The page that answers the question: tables, charts and samples of one run, and the flat figures for comparing runs.

Text from a model or a query is untrusted everywhere here: it is escaped or fenced, and never markup.
"""
