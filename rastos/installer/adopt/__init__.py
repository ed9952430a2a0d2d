"""Adopting an Arch system on btrfs: a copy of it becomes the first snapshot of a store beside it, and there is a way back."""
