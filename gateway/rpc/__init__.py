"""The gRPC wire."""
