"""Chaos: the whole system under fire, and an independent count of what must have come of it."""
