"""What the Transformer's descendants changed. minixfmr.models hands on the names."""
