"""Images: profiles, creation, opening, inspection; and in `vm`, running and checking them in QEMU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .image import Image, ImagePlan, create_image, plan_image
    from .inspect import Inspection, inspect_image
    from .open import OpenImage, open_image
    from .profiles import ImageProfile, image_profiles, load_image_profile
    from .vm.accelerator import Accelerator, probe_accelerator

_HOMES = {
    "image": ("Image", "ImagePlan", "create_image", "plan_image"),
    "inspect": ("Inspection", "inspect_image"),
    "open": ("OpenImage", "open_image"),
    "profiles": ("ImageProfile", "image_profiles", "load_image_profile"),
    "vm.accelerator": ("Accelerator", "probe_accelerator"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Accelerator",
    "Image",
    "ImagePlan",
    "ImageProfile",
    "Inspection",
    "OpenImage",
    "create_image",
    "image_profiles",
    "inspect_image",
    "load_image_profile",
    "open_image",
    "plan_image",
    "probe_accelerator",
]


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value
