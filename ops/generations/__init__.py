"""Generations: another way of counting is built beside the running one, compared, switched to; the old one dropped."""
