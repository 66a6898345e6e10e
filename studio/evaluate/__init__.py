"""How good answers are: measured on held-out rows, voted on blindly, and read by people."""
