"""The incident domain: states, events, decisions and figures. No I/O, no clock, no randomness."""
