"""The verbs: the three folds, the tables they count, and the worker that runs them on Kafka."""
