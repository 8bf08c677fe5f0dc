"""Measuring on data of one's own: how exact the vectors are, and how well they are found."""
