"""How exact latents are on text of kinds that learned codes lose."""
