"""Check an export: a fresh process uses it as its owner will, and what it says is laid beside what the run said."""
