"""Trained parts as one bundle, with its model card."""
