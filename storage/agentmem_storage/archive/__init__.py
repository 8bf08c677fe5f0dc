"""The ``.amem`` format: the memories of a store in one file, bit for bit.

A file is a header, blocks and a final block. The blocks carry one stream of bytes, compressed: a
manifest and records, see `agentmem_storage.archive.records`. A file has no code, no paths and no
time of its own, so equal memories make equal files, unless they are encrypted.

A file may come from anybody. Every length in it has a bound that is checked before anything of that
length is read, and whoever reads a file to its end has compared it with its checksums.
"""
