"""Benches as values: the order of boots, what a program says, results kept, read and compared."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from rastos.errors import ExternalError, IntegrityError, UserError
from rastos.installer import Accelerator
from rastos.installer.bench import (
    FIGURES,
    BenchResult,
    Conditions,
    Contender,
    Figure,
    Measured,
    changes,
    keep,
    last_of,
    plan_bench,
    read_results,
)
from rastos.installer.bench.measuring import figures_of

TCG = Accelerator("tcg", "max", "", "")
CONDITIONS = Conditions("2 × thing", "6.1", "7.2", "tcg", 1, 1024, "minimal", "abc")


def contender(name: str) -> Contender:
    return Contender(name, Path(f"{name}.qcow2"), f"linux-rastos-{name}", "6.12", "0" * 64, "", 1, 0)


def measured(name: str, **values: tuple[float, ...]) -> Measured:
    figures = tuple(Figure(key.replace("_", " "), "ns", given, 9) for key, given in values.items())
    return Measured(name, f"linux-rastos-{name}", "6.12", "0" * 64, "key", 5, 0, figures)


def result(*kernels: Measured, time: str = "2026-11-21T08:00:00+00:00") -> BenchResult:
    return BenchResult(time, 3, 0.5, CONDITIONS, kernels)


def test_runs_are_interleaved_and_none_always_follows_the_same() -> None:
    plan = plan_bench(
        [contender(name) for name in "abc"],
        userland="minimal",
        accelerator=TCG,
        runs=3,
        memory=512,
        cpus=None,
        timeout=9,
    )
    assert [item.name for _, item in plan.order()] == [*"abc", *"bca", *"cab"]
    assert [run for run, _ in plan.order()] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert plan.cpus == 1
    with pytest.raises(UserError, match="twice"):
        plan_bench(
            [contender("a"), contender("a")],
            userland="minimal",
            accelerator=TCG,
            runs=1,
            memory=512,
            cpus=1,
            timeout=9,
        )


def test_what_the_program_says_is_taken_only_as_it_has_to_be() -> None:
    line = {"name": "fork", "unit": "us", "value": 2.5, "n": 10}
    assert figures_of(json.dumps(line) + "\n") == [("fork", 2.5, 10)]
    for wrong in ({"unit": "ns"}, {"value": 0}, {"value": "x"}, {"name": "spoon"}, {"n": None}):
        with pytest.raises(ExternalError, match="no figure"):
            figures_of(json.dumps({**line, **wrong}))
    with pytest.raises(ExternalError):
        figures_of("Segmentation fault")


def test_the_program_gives_every_figure_that_is_not_read_otherwise() -> None:
    source = (Path(__file__).parents[3] / "rastos/installer/bench/rastos-bench.c").read_text()
    for name, (unit, _) in FIGURES.items():
        if name not in ("boot to init", "boot to login", "memory after boot"):
            assert f'("{name}", "{unit}"' in source, name


def test_results_are_kept_line_by_line_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "bench/kernel.jsonl"
    one, two = result(measured("a", fork=(1.0, 2.0))), result(measured("b", fork=(3.0,)))
    assert read_results(path) == ()
    keep(path, one)
    keep(path, two)
    assert read_results(path) == (one, two) and len(path.read_text().splitlines()) == 2
    alone = tmp_path / "printed.json"
    alone.write_text(json.dumps(one.to_json(), indent=2))
    assert read_results(alone) == (one,)
    assert last_of((one, two), ("a",), path) == one
    with pytest.raises(UserError, match="no result of c"):
        last_of((one, two), ("c",), path)


def test_a_kernel_that_failed_is_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "kernel.jsonl"
    broken = replace(measured("b"), failures=("run 1: the guest crashed",))
    assert result(broken).failed
    keep(path, result(broken))
    assert not path.exists()
    keep(path, result(measured("a", fork=(1.0,)), broken))
    assert [item.name for item in read_results(path)[0].kernels] == ["a"]


@pytest.mark.parametrize("line", ["{}", "[]", '{"schema": 1}', '{"schema": 1, "kernels": [3], "time": ""}', "{"])
def test_a_line_that_is_no_result_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "kernel.jsonl"
    keep(path, result(measured("a", fork=(1.0,))))
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(IntegrityError, match="line 2"):
        read_results(path)


def test_a_change_is_clear_only_outside_both_spreads() -> None:
    before = result(measured("a", fork=(10.0, 11.0, 12.0), loopback_TCP=(100.0, 101.0)))
    touching = result(measured("a", fork=(12.0, 13.0, 14.0)))
    apart = result(measured("a", fork=(13.0, 14.0, 15.0), loopback_TCP=(120.0, 130.0)), measured("new", fork=(1.0,)))
    (change,) = changes(before, touching)
    assert not change.clear
    slower, faster = changes(before, apart)
    assert (slower.before, slower.now, slower.clear, slower.better) == (11.0, 14.0, True, False)
    assert faster.figure == "loopback TCP" and faster.clear and faster.better, "there more is better"


def test_other_conditions_are_told() -> None:
    assert CONDITIONS.differences(CONDITIONS) == []
    assert replace(CONDITIONS, memory=2048).differences(CONDITIONS) == ["memory was 1024, now 2048"]
