"""Users of the gateway and their sign-ins at the servers behind it."""
