"""What operators see of a gateway: a line for each call, and a page of metrics."""
