"""Training: recipe, trainer, losses in one table, objective, state."""
