"""Image profiles: what a machine made from an image is, as TOML in profiles/image (docs/image-profiles.md)."""

from __future__ import annotations

from .keys import IMAGE_KEYS, ProfileKey
from .loading import ProfileReading, image_profiles, load_image_profile, read_image_profile
from .passwords import hash_password
from .templates import filled, template_values
from .values import FirstBootStep, Group, ImageProfile, Interface, Network, ProfileFile, User
from .words import is_public_key, parse_size, public_key_fault

__all__ = [
    "IMAGE_KEYS",
    "FirstBootStep",
    "Group",
    "ImageProfile",
    "Interface",
    "ProfileKey",
    "Network",
    "ProfileFile",
    "ProfileReading",
    "User",
    "filled",
    "hash_password",
    "image_profiles",
    "is_public_key",
    "load_image_profile",
    "parse_size",
    "public_key_fault",
    "read_image_profile",
    "template_values",
]
