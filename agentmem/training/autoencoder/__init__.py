"""Training of the autoencoder, and the code that packs its latents."""
