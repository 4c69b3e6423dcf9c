"""The nouns: contracts, code lists, conventions, and the shapes in which records travel. Pure."""
