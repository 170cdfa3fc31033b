"""Bringing a subject into place: boxes, canvas, crop, landmarks, finding, aligning."""
