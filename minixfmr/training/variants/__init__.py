"""What the Transformer's descendants train on. minixfmr.training hands on the names."""
