"""The frame: settings, the composition root, the command line, the embedded PostgreSQL."""
