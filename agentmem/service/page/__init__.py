"""The page to look at a store with a browser: HTML from templates, and a little JavaScript."""
