"""What the seed papers claim, a module per paper; ``studies.claims`` makes the page of them."""
