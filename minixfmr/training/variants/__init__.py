"""Beyond the paper's training: the descendants' objectives, several machines, resuming. minixfmr.training hands on
the names."""
