"""Model bundles: loading, inspecting and checking a folder of weights."""
