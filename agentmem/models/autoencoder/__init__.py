"""The autoencoder: tokens to memory vectors, packed as few bytes, and back."""
