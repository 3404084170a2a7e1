"""What published models ask of generation. minixfmr.generation hands on the names."""
