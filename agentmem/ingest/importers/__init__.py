"""Reads what other programs have exported, one module for each form, as content for `Memory.add`.

`agentmem.ingest.importers.recognize` says which form a file has. A message that has neither an id
nor a time gets an id made of its content, so that adding it again adds nothing.
"""
