"""The autoencoder: tokens to memory vectors, packed into few bytes, and back."""
