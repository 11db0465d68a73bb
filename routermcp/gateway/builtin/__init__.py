"""The gateway that ``routermcp demo`` shows."""
