"""Reports on runs and models: from results on disk to numbers and pictures. Knows nothing of the algorithms."""
