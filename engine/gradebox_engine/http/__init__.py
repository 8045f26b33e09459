"""What a browser, Prometheus and probes see of an engine: read only, over HTTP, beside gRPC."""
