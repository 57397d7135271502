"""The report: tables, charts and samples of one run on a page, and the flat figures that compare runs.

Text of a model or a query is untrusted in this package: it is escaped or fenced, and never becomes markup.
"""
