"""Faster paths of the same networks: folding, rewritten convolutions, narrower types."""
