"""Fits how likely one memory supersedes an earlier one, and the slots that tell."""
