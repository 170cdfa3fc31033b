"""Where files come in and words go out: what a file is, what it costs, what may be shown of it.

Everyone may use this room; it knows no model.
"""
