"""How well questions are answered from memories: as states, as text, and from neither."""
