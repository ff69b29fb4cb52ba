"""The read side: one file per read model, and the runner that keeps them."""
