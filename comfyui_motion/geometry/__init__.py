"""Affine maps, thin-plate splines, pixel conventions: mathematics of the plane that every room
uses.
"""
