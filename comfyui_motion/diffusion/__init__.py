"""What a motion field does for diffusion: latents and noise that move with the subject."""
