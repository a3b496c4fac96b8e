"""The gateway: gRPC and REST in front of the database, the bus and the object store. It never touches media bytes."""
