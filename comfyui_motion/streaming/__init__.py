"""Frames in real time: where they come from, where they go, and the loop that drops
what is late.
"""
