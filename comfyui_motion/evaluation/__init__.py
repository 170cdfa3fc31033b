"""How near a model comes: metrics, judging, reports, sheets."""
