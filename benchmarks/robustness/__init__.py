"""Robustness study: fidelity on text that learned codes commonly lose."""
