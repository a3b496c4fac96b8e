"""Fakes of every seam, for tests of Framewire and of programs built on it; each passes the real thing's suite."""
