"""Faces: found, followed and animated by their own mesh."""
