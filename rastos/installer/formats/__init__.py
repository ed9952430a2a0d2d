"""Image formats: which there are, writing and converting them, and changing the size of a disk image."""
