"""Verdicts on responses: one module per kind of check, a pool of killable workers, a sandbox for model code.

Only the answer part is judged, never the reasoning. A check here never guesses: trouble in our own machinery is
`ungradable`, with a reason, and no text of a model is evaluated outside the sandbox. Nothing here talks to a model by
itself; a judge is handed in.
"""
