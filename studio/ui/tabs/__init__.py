"""One module per tab: a function that builds it inside the page's Blocks and returns its components."""
