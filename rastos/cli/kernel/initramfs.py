"""`rastos kernel initramfs`: what an initramfs holds, before it is made."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from rastos.cli import render
from rastos.cli.app import Application
from rastos.cli.options import json_option

if TYPE_CHECKING:
    from rastos.kernel import InitramfsPlan


@click.command()
@click.option(
    "--image", type=click.Path(path_type=Path, dir_okay=False, exists=True), help="Of a snapshot of this image."
)
@click.option("--snapshot", type=click.IntRange(min=0), help="Which one (default: what boots next).")
@click.option(
    "--root", type=click.Path(path_type=Path, file_okay=False, exists=True), help="Of this folder (default: /)."
)
@click.option("--release", help="Which of its kernels (default: the newest).")
@json_option
@click.pass_obj
def initramfs(
    app: Application, image: Path | None, snapshot: int | None, root: Path | None, release: str | None, as_json: bool
) -> None:
    """Modules, firmware and sizes of the initramfs that a deploy makes for a kernel; nothing where it needs none."""
    from rastos.errors import UserError
    from rastos.kernel import plan_initramfs
    from rastos.snapshot import kernel_release

    if snapshot is not None and image is None:
        raise click.UsageError("--snapshot belongs to --image")
    if image is not None and root is not None:
        raise click.UsageError("--image and --root: one of them")
    if image is not None:
        found = _of_image(image, snapshot, release)
    else:
        tree = root or Path("/")
        wanted = release or kernel_release(tree)
        if not wanted or not (tree / "usr/lib/modules" / wanted).is_dir():
            raise UserError(
                f"there is no kernel {wanted}".rstrip(), on=tree, next_step="name a folder with a system: --root FOLDER"
            )
        found = wanted, plan_initramfs(tree, wanted)
    if as_json:
        app.out.json(found[1].to_json() if found[1] else {"release": found[0], "modules": []})
    else:
        _show(app, *found)


def _of_image(image: Path, number: int | None, release: str | None) -> tuple[str, InitramfsPlan | None]:
    from rastos.errors import UserError
    from rastos.installer import open_image
    from rastos.kernel import initramfs_words, plan_initramfs
    from rastos.snapshot import Store

    with open_image(image, writable=False, purpose="list its initramfs") as opened:
        store = Store.open(opened.top, opened.esp, writable=False)
        current = store.current()
        wanted = number if number is not None else current.snapshot if current else None
        if wanted is None:
            raise UserError("nothing is deployed in this image", on=image, next_step="name a snapshot: --snapshot N")
        snapshot = store.snapshot(wanted)
        deployed = current.kernel if current and current.snapshot == snapshot.id else snapshot.kernel
        words = initramfs_words(str(store.info["cmdline"]))
        return release or deployed, plan_initramfs(store.tree(wanted), release or deployed, words=words)


def _show(app: Application, release: str, plan: InitramfsPlan | None) -> None:
    if plan is None:
        app.out.print(f"{release} needs no initramfs: what finds a root is built in")
        return
    rows = [
        [item.name, "always" if item.always else "its device", render.size(item.size), item.path]
        for item in plan.modules
    ]
    app.out.table(f"Initramfs of {release}", ["module", "loaded for", "size", "file"], rows)
    for title, names in (
        ("built in", plan.builtin),
        ("missing", plan.missing),
        ("firmware", plan.firmware),
        ("microcode", plan.microcode),
    ):
        if names:
            app.out.print(f"{title + ':':<10} {', '.join(names)}")
    app.out.print(f"{len(plan.modules)} modules, at most {render.size(plan.size)}, packed with {plan.compression}")
