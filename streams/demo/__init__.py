"""`riverrun demo`: the whole loop on recorded flights."""
