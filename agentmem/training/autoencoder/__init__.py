"""Training of the autoencoder, and of the codebooks that pack its latents."""
