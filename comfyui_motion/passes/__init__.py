"""Passes: a field and its pictures as compositors take them, to files and back."""
