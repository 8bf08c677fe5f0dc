"""Evaluation on your own data: fidelity of the latents, and quality of recall."""
