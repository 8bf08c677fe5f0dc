"""Model bundles: what their manifest says, loading one, looking into one."""
