"""rastOS: build, boot and manage immutable Linux systems."""

__version__ = "0.1.0"
