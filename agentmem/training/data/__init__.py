"""Corpus files as training reads them."""
