"""deploy and rollback on a machine that manages itself: `bench/running.py [--home FOLDER] IMAGE`, alone (it boots a machine).

Where guests are emulated their seconds are no machine's. So a reference that is much like the start of a command (Python that
imports, with its bytecode there) runs in between, in the guest and here, and tells what a second of the guest is worth.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
BOOT, COMMAND, ROUNDS = 1200.0, 900.0, 3
REFERENCE = (
    "import asyncio, unittest.mock, http.server, xml.dom.minidom, email.mime.text, logging.config, concurrent.futures"
)
# in the guest: start (interpreter, and every module the command will need) and work, apart; seconds and processor seconds
SPLIT = """
import json, os, sys, time
words, home = json.loads(sys.argv[1]), sys.argv[2]
sys.path.insert(0, home)
began = int(open("/proc/self/stat").read().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
for name in json.load(open("/root/modules.json")):
    __import__(name)
ready, used = time.clock_gettime(time.CLOCK_BOOTTIME), sum(os.times()[:4])
from rastos.cli.app import run
status = run(words)
ended, all_used = time.clock_gettime(time.CLOCK_BOOTTIME), sum(os.times()[:4])
json.dump([status, ready - began, ended - ready, used, all_used - used], open("/root/split.json", "w"))
"""
MODULES = """
import json, sys
sys.path.insert(0, sys.argv[2])
from rastos.cli.app import run
run(json.loads(sys.argv[1]))
names = [name for name in sys.modules if name.partition(".")[0] in ("rastos", "click", "rich", "btrfsutil", "tomlkit")]
json.dump(names, open("/root/modules.json", "w"))
"""


def native_reference() -> float:
    """Processor seconds of the reference on this machine: the least of some."""
    found = []
    for _ in range(7):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(["/usr/bin/python3", "-I", "-c", REFERENCE], check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        found.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return statistics.median(found)


def main() -> None:
    """Boot the image's overlay, measure, show the table."""
    from rastos.installer.vm import Machine, booted

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("image", type=Path)
    parser.add_argument("--home", default="/usr/lib/rastos/python", help="where the guest has rastos")
    parser.add_argument("--tree", type=Path, help="a tar of another rastos for the guest, unpacked into /root/other")
    chosen = parser.parse_args()

    def timed(machine: Machine, command: str) -> float:
        """Seconds in the guest, as the guest's own clock has them."""
        line = f"import subprocess, time; t = time.monotonic(); subprocess.run({command!r}, shell=True, check=True); print(time.monotonic() - t)"
        return float(machine.succeed(f"python3 -I -c '{line.replace(chr(39), chr(34))}' | tail -n 1", COMMAND))

    with booted(chosen.image, cache=Path(os.environ["RASTOS_CACHE"]), way="uefi") as machine:
        machine.wait_agent(BOOT)
        machine.execute("systemctl is-system-running --wait", BOOT)
        machine.put("/root/split.py", SPLIT.encode())
        machine.put("/root/modules.py", MODULES.encode())
        machine.put("/root/reference.py", REFERENCE.encode())
        if chosen.tree:
            machine.put("/root/other.tar", chosen.tree.read_bytes())
            machine.succeed("mkdir /root/other; tar -xf /root/other.tar -C /root/other", COMMAND)
        timed(machine, "python3 -I /root/reference.py")
        for name in ("deploy", "rollback"):
            words = json.dumps(["snapshot", name, "0"])
            machine.succeed(f"python3 -I /root/modules.py '{words}' {chosen.home}", COMMAND)
            rows = []
            for _ in range(ROUNDS):
                reference = timed(machine, "python3 -I /root/reference.py")
                machine.succeed(f"python3 -I /root/split.py '{words}' {chosen.home}", COMMAND)
                status, start, work, _, _ = json.loads(machine.succeed("cat /root/split.json"))
                assert status in (0, None), status
                reference = (reference + timed(machine, "python3 -I /root/reference.py")) / 2
                rows.append((start, work, reference))
            start, work, reference = (statistics.median(row[at] for row in rows) for at in range(3))
            worth = statistics.median(row[2] for row in rows) / native_reference()
            native = statistics.median((row[0] + row[1]) / row[2] for row in rows) * native_reference()
            print(
                f"{name:<10} start {start:6.2f} s + work {work:6.2f} s in the guest; the reference {reference:5.2f} s there, "
                f"{native_reference():5.3f} s here: factor {worth:5.1f}; as if native {native:5.2f} s   aim ≤ 1 s",
                flush=True,
            )
        machine.power_off(BOOT)


if __name__ == "__main__":
    os.environ.setdefault("RASTOS_CACHE", str(ROOT / ".rastos/cache"))
    main()
