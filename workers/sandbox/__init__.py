"""A stand-in for Meta's side of WhatsApp: strict, for tests and for a newcomer's first alert."""
