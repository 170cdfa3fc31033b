"""One file a family. They share blocks.py and never import one another."""
