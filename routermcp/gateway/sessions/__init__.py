"""The sessions of the handshake era: the interface of a store, in memory and in Redis."""
