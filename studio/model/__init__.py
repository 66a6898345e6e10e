"""The device and the models on it."""
