"""What is handed on of a run: cards of its comparisons, and its metadata."""
