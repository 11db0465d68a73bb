"""Ways to serve the gateway: uvicorn, standard input and output, or inside the process."""
