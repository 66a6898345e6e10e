"""Restyle Studio: teach a small language model a style on your own data, and show the before and the after."""

__version__ = "0.1.0"
