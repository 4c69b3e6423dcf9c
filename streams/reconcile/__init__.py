"""Reconcile: linking, histories and the facts they state. Entry: `streams.reconcile.fold.Reconcile`."""
