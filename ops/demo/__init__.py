"""The demonstration: a really published table, sent as single crossings with faults, and counted again."""
