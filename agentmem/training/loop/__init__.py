"""What every training loop shares: its start, its rate, its checkpoints, its folder."""
