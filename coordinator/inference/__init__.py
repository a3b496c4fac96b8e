"""Frames to a model and back: the `InferenceServer` seam and its Triton implementation."""
