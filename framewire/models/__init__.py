"""Which models a model server holds: the rules, without any server."""
