"""What lasts as long as a session: read in this order: listen, completion, shell."""
