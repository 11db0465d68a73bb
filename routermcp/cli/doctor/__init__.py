"""``routermcp doctor``: what is between a user and a server, step by step; read ``steps`` first."""
