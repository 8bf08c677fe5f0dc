"""Vector stores side by side: the same embeddings and filters in agentmem's store and in others.

What is compared is what lies below a memory: rows with an embedding, a user and a number, which are
written, kept on disk, and searched by a vector with and without a filter. agentmem's rows are whole
memories, with the text (as latents) and its words; those of the others have nothing else.
"""
