"""How much of a style an adapter has, whether its answers are still good ones, and whether a prompt does as well."""
