"""Which runs an experiment consists of: the paper's, comparisons, ablations."""
