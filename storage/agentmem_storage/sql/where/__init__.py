"""Which rows a call means: the ``where=`` language, scopes, times and ids, and what has expired."""
