"""Access tokens of an authorization server: JWTs that are checked here, with its public keys."""
