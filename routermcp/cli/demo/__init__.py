"""``routermcp demo``: one scenario on every runtime."""
