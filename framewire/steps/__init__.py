"""The catalogue of steps: what they are, what they take, which worker runs them. No execution."""
