"""The write side: one command is load, decide, append."""
