"""Networks that are built and trained here; community checkpoints come in through spandrel."""
