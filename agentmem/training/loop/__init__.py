"""The training loop that every model shares: steps, learning rate, checkpoints, run folders."""
