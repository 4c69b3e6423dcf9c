"""The feed store: current cells, their changes and the complete cuts, in SQLite or PostgreSQL."""

from connectors.feed_store.books import BookRow, Equation, balance
from connectors.feed_store.cells import Causes, Cell, Change, Cut, of_change
from connectors.feed_store.generations import Generations
from connectors.feed_store.lease import Lease
from connectors.feed_store.manifest import Generation, Manifest, State
from connectors.feed_store.reading import iso
from connectors.feed_store.store import FeedStore
from connectors.feed_store.writing import Transaction

__all__ = [
    "BookRow",
    "Causes",
    "Cell",
    "Change",
    "Cut",
    "Equation",
    "FeedStore",
    "Generation",
    "Generations",
    "Lease",
    "Manifest",
    "State",
    "Transaction",
    "balance",
    "iso",
    "of_change",
]
