"""Every figure that the documentation shows; not part of the wheel."""
