"""Which built kernel a profile means."""

from __future__ import annotations

from rastos.errors import UserError
from rastos.package import LocalPackage, LocalRepository

from .profile import ImageProfile


def kernel_of(profile: ImageProfile, repository: LocalRepository) -> LocalPackage:
    """The package of a profile's kernel. UserError: it is not built."""
    name = profile.kernel if repository.find(profile.kernel) else f"linux-rastos-{profile.kernel}"
    kernel = repository.find(name)
    if kernel is None:
        built = [item.name for item in repository.packages() if item.name.startswith("linux-")]
        raise UserError(
            f"the kernel '{profile.kernel}' is not built",
            next_step=f"`rastos kernel build --profile {profile.kernel}`"
            + (f"; built: {', '.join(built)}" if built else ""),
        )
    return kernel
