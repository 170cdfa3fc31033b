"""Training and evaluation: clips, puppets, losses, the trainer, metrics. Nothing in the library
imports this room but the command line, when asked.
"""
