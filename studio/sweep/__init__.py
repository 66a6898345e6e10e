"""Sweeps: one run for each of several combinations of settings, compared by their validation loss or their style."""
