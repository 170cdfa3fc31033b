"""Clips and drawings as training and evaluation data."""
