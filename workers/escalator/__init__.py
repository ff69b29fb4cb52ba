"""The escalator: timers on incidents that nobody has acknowledged."""
