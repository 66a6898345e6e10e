"""Base and adapter side by side, from one loaded model."""
