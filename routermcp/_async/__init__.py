"""The asynchronous clients, written by hand. The blocking ones are generated from them."""
