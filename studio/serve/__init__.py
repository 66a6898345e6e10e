"""An OpenAI-compatible endpoint for a base, its adapters at any strength, and mixes of them."""
