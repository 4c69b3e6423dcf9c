"""How the feed store's tables come to be, step by step; run by `connectors.feed_store` when it opens a database."""
