"""What published models ask of generation, and watching it. minixfmr.generation hands on the names."""
