"""`python bench/kernel_build.py`: `rastos kernel build` against plain make of the same configuration, alternating.

Cold, with a warm compiler cache, with nothing changed, with one option changed. Each in folders of its own below the cache,
removed at the end; the sources are those of RASTOS_CACHE. The micro kernel takes some minutes, `--profile container` an
hour for each run, which is why `make bench` doesn't start it. On a busy machine trust the processor's seconds ("cpu").
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from run import RASTOS, ROOT

from rastos.kernel import BuildPlan, load_profile, module_key, plan_build, resolve_config
from rastos.kernel.building import PATH, environment
from rastos.kernel.makelog import MakeLog
from rastos.kernel.signing import place_key
from rastos.package import LocalRepository
from rastos.progress import Progress

LEAF = {"micro": "PRINTK_TIME=y", "container": "BTRFS_ASSERT=y"}  # options that few objects look at
OTHER = "IKCONFIG=y"
PROFILES = ROOT / "tests/kernels"  # where micro is; the shipped ones are found beside it


@dataclass(frozen=True)
class Spent:
    """Seconds of the clock, and of the processor by the command and everything it waited for."""

    wall: float
    cpu: float


def spend(argv: list[str], env: dict[str, str], log: Path) -> Spent:
    """Run it; its failure ends the bench with its last words."""
    began = time.monotonic()
    errors = log.with_suffix(".errors")
    with log.open("wb") as out, errors.open("wb") as words:
        process = subprocess.Popen(argv, env=env, cwd=ROOT, stdout=out, stderr=words)
        _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{' '.join(argv)} failed:\n{errors.read_text(errors='replace')[-2000:]}")
    return Spent(time.monotonic() - began, usage.ru_utime + usage.ru_stime)


class Bench:
    """One profile, one folder: what both sides do."""

    def __init__(self, folder: Path, profile: str, source: str | None, jobs: int, option: str, profiles: Path) -> None:
        self.folder, self.profiles = folder, profiles.absolute()
        self.cache, self.state = folder / "cache", folder / "state"
        (self.cache / "kernel").mkdir(parents=True)
        sources = Path(os.environ["RASTOS_CACHE"]).absolute() / "kernel/sources"
        sources.mkdir(parents=True, exist_ok=True)
        (self.cache / "kernel/sources").symlink_to(sources)
        self.profile, self.source, self.jobs, self.option = profile, source, jobs, option
        module_key(self.state)
        self.configs = {settings: resolve_config(self.plan(*settings), Progress()) for settings in ((), (option,))}

    def plan(self, *settings: str) -> BuildPlan:
        return plan_build(
            load_profile(self.profile, [self.profiles, ROOT / "profiles"]),
            source=self.source,
            settings=settings,
            jobs=self.jobs,
            cache=self.cache / "kernel",
            repository=LocalRepository(self.state / "repository"),
        )

    def ours(self, *settings: str) -> Spent:
        """`rastos kernel build` as a whole command."""
        words = [*RASTOS, "kernel", "build", "--profile", self.profile, "--jobs", str(self.jobs), "--json"]
        words += [*(["--source", self.source] if self.source else []), *(f"--set={item}" for item in settings)]
        places = {"RASTOS_CACHE": str(self.cache), "RASTOS_STATE": str(self.state)}
        places["RASTOS_PROFILES"] = str(self.profiles)
        return spend(words, {**os.environ, **places}, self.folder / "ours.log")

    def plain(self, *settings: str) -> Spent:
        """make with the same configuration, variables and jobs, without a compiler cache; it packages nothing."""
        plan = replace(self.configs[settings].plan, cache=self.folder / "plain")
        plan.tree.mkdir(parents=True, exist_ok=True)
        if plan.signing is not None:
            place_key(plan.signing, plan.tree)
        shutil.copyfile(self.configs[settings].config, plan.tree / ".config")
        modules = self.configs[settings].values.get("MODULES") == "y"
        env = {name: value for name, value in environment(plan).items() if not name.startswith("CCACHE")}
        words = plan.make("olddefconfig", "bzImage", *(["modules"] if modules else []))
        return spend(words, {**env, "PATH": PATH}, self.folder / "plain.log")

    def forget(self, *, ccache: bool) -> None:
        """Our side as on the first day, the compiler cache perhaps apart."""
        for name in ("build", "built", *(["ccache"] if ccache else [])):
            shutil.rmtree(self.cache / "kernel" / name, ignore_errors=True)
        shutil.rmtree(self.state / "repository", ignore_errors=True)

    def forget_plain(self) -> None:
        shutil.rmtree(self.folder / "plain", ignore_errors=True)

    def made(self) -> tuple[set[str], set[str]]:
        """Objects that the last commands made, ours and make's."""
        plan = self.plan()
        both = ((plan.log, plan.tree), (self.folder / "plain.log", replace(plan, cache=self.folder / "plain").tree))
        ours, theirs = (
            MakeLog(tree=tree).feed(log.read_text(errors="replace").splitlines()).present for log, tree in both
        )
        return ours, theirs


def middle(rows: list[Spent], value: Callable[[Spent], float]) -> float:
    return statistics.median(value(row) for row in rows)


def row(name: str, ours: list[Spent], theirs: list[Spent] | None, aim: str) -> None:
    """One line of the table: medians, and the ratio of processor seconds beside that of the clock."""

    def wall(item: Spent) -> float:
        return item.wall

    def cpu(item: Spent) -> float:
        return item.cpu

    text = f"{name:<34} {middle(ours, wall):8.1f} s {middle(ours, cpu):8.1f} s cpu"
    if theirs is not None:
        text += f" | {middle(theirs, wall):8.1f} s {middle(theirs, cpu):8.1f} s cpu"
        text += f" | {middle(ours, wall) / middle(theirs, wall):5.2f}×"
        text += f" {middle(ours, cpu) / middle(theirs, cpu):5.2f}× cpu"
    print(f"{text} | aim {aim}", flush=True)


def main() -> None:
    """Arguments, rounds, table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--profile", default="micro")
    parser.add_argument("--profiles", type=Path, default=PROFILES, help="folder with more profiles")
    parser.add_argument("--source", help="as for `rastos kernel build`")
    parser.add_argument("--runs", type=int, default=2, help="cold and warm builds of each side (default 2)")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--option", help="CONFIG_X=y for the build with one option changed")
    wanted = parser.parse_args()
    option = (wanted.option or LEAF.get(wanted.profile, OTHER)).removeprefix("CONFIG_")
    rows: dict[str, list[Spent]] = {name: [] for name in ("plain", "cold", "warm", "nothing")}
    with tempfile.TemporaryDirectory(prefix="bench-", dir=os.environ["RASTOS_CACHE"]) as name:
        bench = Bench(Path(name), wanted.profile, wanted.source, wanted.jobs, option, wanted.profiles)
        for number in range(wanted.runs):
            bench.forget_plain()
            bench.forget(ccache=True)
            both = [lambda: rows["plain"].append(bench.plain()), lambda: rows["cold"].append(bench.ours())]
            for side in both if number % 2 == 0 else reversed(both):
                side()
            bench.forget(ccache=False)
            rows["warm"].append(bench.ours())
            rows["nothing"] += [bench.ours() for _ in range(3)]
        made = json.loads((bench.folder / "ours.log").read_text())
        print(
            f"{wanted.profile} on {made['source']}, {wanted.jobs} jobs, {made['objects']} objects, {wanted.runs} runs"
        )
        row("cold / make, packages included", rows["cold"], rows["plain"], "≤ 1.03×")
        row("cold / warm compiler cache", rows["cold"], rows["warm"], "≥ 5×")
        row("nothing changed", rows["nothing"], None, "≤ 3 s")
        changed, theirs = bench.ours(option), bench.plain(option)
        row(f"{option} / make", [changed], [theirs], "-")
        one, other = bench.made()
        print(
            f"{'    objects made':<34} {len(one)} | {len(other)} | only ours: {' '.join(sorted(one - other)) or 'none'}"
        )


if __name__ == "__main__":
    main()
