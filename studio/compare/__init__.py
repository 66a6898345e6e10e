"""Base and adapters side by side, from one loaded model, with the proof of what was compared."""
