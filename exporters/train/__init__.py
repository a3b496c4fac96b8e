"""Trains the built-in networks on any folder of clips and on scenes drawn by code."""
