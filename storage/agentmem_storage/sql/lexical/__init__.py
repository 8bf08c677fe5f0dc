"""The lexical index: which chunk contains which words, without their texts."""
