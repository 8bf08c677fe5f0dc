"""Teaching a language model to read memories."""
