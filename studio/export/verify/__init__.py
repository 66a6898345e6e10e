"""Verify an export: an isolated process uses it, and its answers are compared with those of the run."""
