"""Drawn clips that know their true motion."""
