"""`make bench`: ratios against peers measured in the same run, alternating, medians.

Figures of one machine move by half from run to run; the ratios hold better. Nothing here gates the tests.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("RASTOS_CACHE", str(ROOT / ".rastos/cache"))
os.environ.setdefault("RASTOS_STATE", str(ROOT / ".rastos/state"))
RASTOS = [sys.executable, "-m", "rastos"]
Timed = Callable[[], float]


def command(*words: str | Path) -> float:
    """Seconds a command takes, as a whole process. Its failure ends the bench."""
    began = time.monotonic()
    subprocess.run([str(word) for word in words], cwd=ROOT, check=True, capture_output=True)
    return time.monotonic() - began


def pair(ours: Timed, theirs: Timed, runs: int) -> tuple[float, float, float]:
    """Medians of both, and the median of the ratios pair by pair; one warm-up each."""
    ours()
    theirs()
    rows = [(ours(), theirs()) for _ in range(runs)]
    middle = statistics.median
    return middle(a for a, _ in rows), middle(b for _, b in rows), middle(a / b for a, b in rows)


def show(name: str, ours: float, theirs: float | None, ratio: float | None, aim: str) -> None:
    """One row."""
    other = f"{theirs:8.3f} s" if theirs is not None else " " * 10
    quotient = f"{ratio:6.2f}×" if ratio is not None else " " * 7
    print(f"{name:<44} {ours:8.3f} s {other} {quotient}   aim {aim}", flush=True)


def bench_help() -> None:
    ours, theirs, ratio = pair(lambda: command(*RASTOS, "--help"), lambda: command(sys.executable, "-c", "pass"), 15)
    show("rastos --help / python3 -c pass", ours, theirs, ratio, "≤ 3×")


@contextmanager
def plain_repository(folder: Path) -> Iterator[tuple[Path, list[str]]]:
    """The converted packages of the default set, as a repository both tools can read."""
    from rastos.package import Change, LocalRepository, load_manifest, open_channels, plan_change, target_for
    from rastos.progress import Progress

    cache = Path(os.environ["RASTOS_CACHE"])
    manifest = load_manifest(ROOT / "packages.toml")
    channels = open_channels(manifest, cache=cache, repository=None)
    target = target_for(folder / "nothing", cache, immutable=True)
    plan = plan_change(target, channels, Change(install=manifest.select(["base"])), Progress(), manifest=manifest)
    from rastos.package.preparation import wanted_of

    for channel, wanted in wanted_of(plan, channels):
        channel.fetch(wanted, target.packages, Progress())
    repository = LocalRepository(folder / "repository", "bench")
    for record in plan.records:
        repository.add(target.packages / record.filename)
    yield repository.directory, [record.name for record in plan.records]


def bench_install(folder: Path) -> None:
    """libalpm alone on both sides: no downloads, no maintainer scripts (a pacman channel has none)."""
    with plain_repository(folder) as (repository, names):
        manifest = folder / "packages.toml"
        packages = ", ".join(f'"{name}"' for name in names)
        manifest.write_text(
            f'schema = 1\n[channels.bench]\nkind = "pacman"\nserver = "{repository}"\n'
            f'siglevel = "Never"\n[sets.base]\npackages = [{packages}]\n'
        )
        (folder / "pacman.conf").write_text(
            f"[options]\nArchitecture = auto\nSigLevel = Never\n[bench]\nServer = file://{repository}\n"
        )

        def ours() -> float:
            shutil.rmtree(folder / "ours", ignore_errors=True)
            (folder / "ours").mkdir()
            return command(*RASTOS, "package", "apply", "--root", folder / "ours", "--manifest", manifest)

        def theirs() -> float:
            shutil.rmtree(folder / "theirs", ignore_errors=True)
            (folder / "theirs/var/lib/pacman").mkdir(parents=True)
            words = ["pacman", "-r", folder / "theirs", "--config", folder / "pacman.conf", "--noconfirm", "-Sy"]
            return command(*words, "--cachedir", folder / "pacman-cache", *names)

        a, b, ratio = pair(ours, theirs, 3)
        show(f"install {len(names)} packages / pacman -r", a, b, ratio, "≤ 1.15×")


def measured(*words: str | Path) -> tuple[float, float]:
    """Seconds and MiB (peak resident) of one command."""
    began = time.monotonic()
    process = subprocess.Popen(
        [str(word) for word in words], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise subprocess.CalledProcessError(status, [str(word) for word in words])
    return time.monotonic() - began, usage.ru_maxrss / 1024


def bench_plans(folder: Path) -> None:
    """Over the whole Debian suite, its index cached; whole commands."""
    empty = folder / "empty"
    command(*RASTOS, "package", "plan", "--root", empty, "--set", "server")
    rows = [measured(*RASTOS, "package", "plan", "--root", empty, "--set", "server", "--offline") for _ in range(5)]
    show("package plan, the whole suite", statistics.median(row[0] for row in rows), None, None, "≤ 0.8 s")
    print(f"{'    memory':<44} {max(row[1] for row in rows):8.0f} MiB {'':>18}   aim ≤ 200 MiB", flush=True)
    tree = folder / "tree"
    began = time.monotonic()
    command(*RASTOS, "package", "apply", "--root", tree, "--set", "base")
    show("package apply, base, scripts included", time.monotonic() - began, None, None, "-")
    rows = [measured(*RASTOS, "package", "apply", "--root", tree, "--set", "base", "--offline") for _ in range(5)]
    show("package apply, nothing to do", statistics.median(row[0] for row in rows), None, None, "≤ 0.5 s")
    for words in (("verify",), ("digest",), ("why", "libc6"), ("owner", "/bin/ls")):
        rows = [measured(*RASTOS, "package", *words, "--root", tree) for _ in range(3)]
        show(f"package {words[0]}", statistics.median(row[0] for row in rows), None, None, "-")


def bench_image(folder: Path) -> Path:
    images = Path(os.environ["RASTOS_CACHE"]) / "images"
    shutil.rmtree(images, ignore_errors=True)
    image = folder / "bench.qcow2"
    words = [*RASTOS, "image", "create", "--profile", "ci", "--output", image, "--force", "--json"]
    began = time.monotonic()
    cold = [*words, "--no-cache"]
    done = subprocess.run([str(word) for word in cold], cwd=ROOT, check=True, capture_output=True, text=True)
    show("image create, packages fetched before", time.monotonic() - began, None, None, "-")
    for name, seconds in json.loads(done.stdout)["seconds"].items():
        show(f"    {name}", seconds, None, None, "-")
    show("image create, same inputs again", command(*words), None, None, "< 10 s")
    show("image create, another host name", command(*words, "--hostname", "other"), None, None, "≤ 5 s")
    return image


def main() -> None:
    """Run everything; needs root, the ci kernel and the network once."""
    from bench.snapshots import bench_snapshots

    print(f"{'what':<44} {'rastos':>10} {'peer':>10} {'ratio':>7}")
    bench_help()
    command(*RASTOS, "kernel", "build", "--profile", "ci")
    with tempfile.TemporaryDirectory(dir=Path(os.environ["RASTOS_CACHE"])) as name:
        folder = Path(name)
        bench_plans(folder)
        bench_install(folder)
        bench_image(folder)
        bench_snapshots(folder)


if __name__ == "__main__":
    main()
