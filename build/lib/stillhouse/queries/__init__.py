"""From query sources to the curated query set: load, normalise, clean, drop duplicates, decontaminate.

Every step takes queries and gives queries kept and queries rejected, each with its reason. What a model says has no
place here.
"""
