"""Recall of several kinds of memories: notes, changing facts, documents and chats.

For choosing constants: half of the questions of every kind is to fit on (``fit``), the other half
to report on (``held-out``). Nothing of it is from an evaluation set.
"""
