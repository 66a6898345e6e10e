"""One command for the first card at hand: `python -m tests.gpu`."""
