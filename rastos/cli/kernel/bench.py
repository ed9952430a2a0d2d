"""`rastos kernel bench`: kernels booted and measured side by side."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rastos.cli import render
from rastos.cli.app import Application
from rastos.cli.kernel import places
from rastos.cli.options import dry_run_option, json_option

if TYPE_CHECKING:
    from rastos.installer.bench import BenchResult, Contender, Figure, Measured

_BUSY = 0.8  # load for each processor before the first boot: making the images is a part of it


@click.command()
@click.argument("kernels", nargs=-1, metavar="KERNEL|IMAGE...")
@click.option("--runs", default=3, show_default=True, type=click.IntRange(min=1), help="Boots of every kernel.")
@click.option("--profile", default="minimal", show_default=True, metavar="NAME", help="Image profile of the userland.")
@click.option("--memory", default=1024, show_default=True, metavar="MIB", type=click.IntRange(min=128))
@click.option("--cpus", type=click.IntRange(min=1), help="Processors (default: 2 with KVM, 1 emulated).")
@click.option("--timeout", default=300.0, show_default=True, metavar="SECONDS", help="For a boot, and to measure.")
@click.option(
    "--compare", is_flag=False, flag_value="last", metavar="[FILE|last]", help="What changed since an earlier result."
)
@click.option("--history", is_flag=True, help="Measure nothing: the results that are kept.")
@dry_run_option
@json_option
@click.pass_obj
def bench(
    app: Application,
    kernels: tuple[str, ...],
    runs: int,
    profile: str,
    memory: int,
    cpus: int | None,
    timeout: float,
    compare: str | None,
    history: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Boot kernels in turn under the same conditions and show what they cost; the first is what the others are held to.

    A kernel is a profile or package that was built, `distro` for the distribution's, or the image that boots it.
    Example: rastos kernel bench container production --runs 5 --compare last
    """
    from rastos.installer.bench import changes, keep, last_of, measure, plan_bench, read_results
    from rastos.installer.vm import probe_accelerator

    kept = app.config.state / "bench" / "kernel.jsonl"
    if history:
        _history(app, read_results(kept), kernels, as_json)
        return
    if not kernels:
        raise click.UsageError("Name kernels: `rastos kernel list` shows those that were built.")
    # looked up first: it would be a pity after an hour
    other = kept if compare in (None, "last") else Path(str(compare))
    before = last_of(read_results(other), kernels, other) if compare else None
    accelerator = probe_accelerator(app.config.cache)
    if dry_run:
        for name in kernels:
            _known(app, name)
        processors = cpus or accelerator.cpus
        if as_json:
            facts = {"runs": runs, "userland": profile, "memory": memory, "cpus": processors, "results": kept}
            app.out.json({"kernels": kernels, "accelerator": accelerator.name, **facts})
        else:
            app.out.print(
                f"would boot {', '.join(kernels)} {runs} times each, in turn: {accelerator.name}, "
                f"{processors} processor(s), {memory} MiB, userland {profile}; kept in {kept}"
            )
        return
    with _contenders(app, kernels, profile) as contenders:
        plan = plan_bench(
            contenders,
            userland=profile,
            accelerator=accelerator,
            runs=runs,
            memory=memory,
            cpus=cpus,
            timeout=timeout,
        )
        result = measure(plan, cache=app.config.cache, progress=app.progress)
    keep(kept, result)
    changed = changes(before, result) if before else ()
    if as_json:
        app.out.json({**result.to_json(), "compared": {"with": before.time, "changes": changed} if before else None})
    else:
        _show(app, result)
        if before:
            _compare(app, before, result)
    if result.failed:
        raise click.exceptions.Exit(1)


def _known(app: Application, name: str) -> None:
    """UserError: it is neither an image nor a package."""
    from rastos.errors import UserError
    from rastos.kernel import built, distro_request

    repository = places.repository(app)
    if (
        distro_request(name) is not None
        or Path(name).is_file()
        or repository.find(name)
        or repository.find(f"linux-rastos-{name}")
    ):
        return
    names = ", ".join(item.profile for item in built(places.cache(app), repository)) or "none"
    raise UserError(
        f"'{name}' is no built kernel and no image",
        next_step=f"`rastos kernel build --profile {name}`, or the path of an image; built: {names}",
    )


@contextmanager
def _contenders(app: Application, names: tuple[str, ...], profile: str) -> Iterator[list[Contender]]:
    """An image for every kernel that is not one already, all from one image profile; they are gone at the end."""
    from dataclasses import replace

    from rastos.cli.kernel.distro import distro_package
    from rastos.host import working_directory
    from rastos.installer import create_image, load_image_profile, plan_image
    from rastos.installer.bench import contender
    from rastos.kernel import built, distro_request
    from rastos.package import load_manifest, open_channels

    for name in names:
        _known(app, name)
    repository = places.repository(app)
    with working_directory(app.config.cache / "bench", "images") as place:
        found = []
        for number, name in enumerate(names):
            image = Path(name)
            if image.is_file():
                found.append(contender(name, image))
                continue
            manifest = load_manifest(app.config.manifest)
            channels = open_channels(manifest, cache=app.config.cache, repository=repository)
            package, request = name, distro_request(name)
            if request is not None:
                package = distro_package(app, request, channels, locked=False).name
                # there may have been no local channel before
                channels = open_channels(manifest, cache=app.config.cache, repository=repository)
            chosen = replace(load_image_profile(profile, app.config.profile_folders), kernel=package, format="qcow2")
            plan = plan_image(
                chosen,
                manifest,
                channels,
                repository,
                output=place / f"{number}.qcow2",
                cache=app.config.cache,
                progress=app.progress,
            )
            create_image(plan, channels, cache=app.config.cache, progress=app.progress)
            keys = {item.name: item.key for item in built(places.cache(app), repository)}
            found.append(contender(name, plan.output, key=keys.get(plan.kernel, "")))
        yield found


def _show(app: Application, result: BenchResult) -> None:
    from rastos.installer.bench import FIGURES

    first = result.kernels[0]
    rows: list[list[str]] = [
        ["kernel image", *_sizes([item.image_size for item in result.kernels])],
        ["initramfs", *_sizes([item.initramfs_size for item in result.kernels])],
    ]
    for name, (unit, more) in FIGURES.items():
        cells = [_cell(item.figure(name), first.figure(name) if item is not first else None) for item in result.kernels]
        rows.append([f"{name} ({unit}{', more is better' if more else ''})", *cells])
    c = result.conditions
    app.out.table("", ["", *(item.name for item in result.kernels)], rows)
    app.out.print(
        f"\nmedian of {result.runs} runs (least–most), × to {first.name}; {c.accelerator}, {c.cpus} processor(s), "
        f"{c.memory} MiB, QEMU {c.qemu.split()[0]}, {c.processor}"
    )
    counts = ", ".join(f"{item.name} {item.n}" for item in first.figures if item.n > 2 * result.runs)
    app.out.print(f"operations behind a figure ({first.name}): {counts}")
    if result.load > _BUSY:
        app.out.say(
            f"the host was busy: load {result.load:g} for each processor; spread and ratios are that much worse"
        )
    for item in result.kernels:
        for failure in item.failures:
            app.out.say(f"\n✗ {item.name}, {failure}")


def _sizes(values: list[int]) -> list[str]:
    first = values[0]
    return [
        (render.size(value) if value else "none") + (f"  {value / first:.2f}×" if number and first and value else "")
        for number, value in enumerate(values)
    ]


def _cell(figure: Figure | None, first: Figure | None) -> str:
    if figure is None:
        return "failed"
    ratio = f"  {figure.middle / first.middle:.2f}×" if first and first.middle else ""
    return f"{_number(figure.middle)} ({_number(figure.least)}–{_number(figure.most)}){ratio}"


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _compare(app: Application, before: BenchResult, now: BenchResult) -> None:
    from rastos.installer.bench import changes

    app.out.print(f"\nsince {before.time} ({render.age(before.time)} ago)")
    for words in now.conditions.differences(before.conditions):
        app.out.print(f"  not the same conditions: {words}")
    for item in now.kernels:
        old = next((kernel for kernel in before.kernels if kernel.name == item.name), None)
        if old is not None:
            same = "the same build" if old.sha256 == item.sha256 else f"another build ({old.release} then)"
            app.out.print(f"  {item.name}: {same}")
    rows = [
        [
            item.kernel,
            item.figure,
            f"{_number(item.before)} {item.unit}",
            f"{_number(item.now)} {item.unit}",
            f"{(item.ratio - 1) * 100:+.0f} %",
            ("better" if item.better else "worse") if item.clear else "within the spread",
        ]
        for item in changes(before, now)
    ]
    app.out.table("", ["kernel", "figure", "then", "now", "change", ""], rows)


def _history(app: Application, results: tuple[BenchResult, ...], names: tuple[str, ...], as_json: bool) -> None:
    if as_json:
        app.out.json([item.to_json() for item in results])
        return
    shown = ("boot to init", "boot to login", "memory after boot", "system call", "fork and exec", "file create")
    rows = [
        [result.time, item.name, item.release, result.conditions.accelerator, *(_short(item, name) for name in shown)]
        for result in results
        for item in result.kernels
        if not names or item.name in names
    ]
    app.out.table("Results that are kept", ["time", "kernel", "release", "by", *shown], rows)


def _short(item: Measured, name: str) -> str:
    figure = item.figure(name)
    return f"{_number(figure.middle)} {figure.unit}" if figure else ""
