"""The contract as OpenAPI 3.1, made from the descriptors, their comments and their rules."""
