"""Processes that react to the ledger."""
