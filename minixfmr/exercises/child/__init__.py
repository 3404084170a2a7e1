"""The student's side of a marking, which nobody trusts. It knows NumPy and nothing of minixfmr."""
