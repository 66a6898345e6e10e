"""From a file to labelled tokens: read it, find its shape, render the prompt, tokenize, split."""
