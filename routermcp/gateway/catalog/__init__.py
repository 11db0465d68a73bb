"""What the servers behind the gateway offer: their entries, merged lists and the search over them."""
