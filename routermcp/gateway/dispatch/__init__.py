"""From a request to its answer, whatever it arrived over."""
