"""Outbox: the door for agencies that write their events into a table of their own database.

An application writes an event in the same transaction as what the event reports; a poller beside it brings each row to
the gateway, at least once, and writes the verdict back into the row.
"""
