"""Steps: frames in, frames out, no I/O. `registry` says which step is which."""
