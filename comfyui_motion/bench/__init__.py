"""Measuring how fast models are on this machine."""
