"""Snapshots from one store to another: btrfs streams in a signed container, OCI images and tar archives."""
