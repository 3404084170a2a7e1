"""Comparisons with PyTorch, JAX and Hugging Face: each side in a process of its own, rounds in turn, medians."""
