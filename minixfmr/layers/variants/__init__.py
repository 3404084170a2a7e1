"""What the Transformer's descendants changed. minixfmr.layers hands on the names."""
