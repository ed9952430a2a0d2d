"""Whether a snapshot still is what it was: manifests, checking against them, repair."""
