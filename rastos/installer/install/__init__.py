"""Installing onto a disk: what is on it, what is asked, the plan, and carrying it out."""
