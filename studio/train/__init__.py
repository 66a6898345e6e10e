"""One training run, from prepared rows to a saved adapter."""
