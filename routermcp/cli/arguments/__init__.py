"""Arguments of a call, from words of the command line; read in this order: schema, values, check, words."""
