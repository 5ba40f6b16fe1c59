"""Start-up time: best of 7 of `import takt` and `takt --help`, beside python and numpy alone."""

import subprocess
import sys
import time

RUNS = 7
LIMIT_S = 0.6  # a command line that answers slower than this feels broken

COMMANDS = {
    "python, nothing imported": "pass",
    "import numpy": "import numpy",
    "import takt": "import takt",
    "import takt.types": "import takt.types",
    "takt --help": "from takt.cli import main; main(['--help'])",
}
CLAIMED = ("import takt", "takt --help")


def best_s(code: str) -> float:
    """Shortest wall time in seconds of a fresh interpreter that runs `code`."""
    times = []
    for _ in range(RUNS):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
        times.append(time.perf_counter() - started)
    return min(times)


def main() -> int:
    """Print a row for each command; 1 when one that is claimed misses the limit."""
    measured = {name: best_s(code) for name, code in COMMANDS.items()}
    for name, seconds in measured.items():
        print(f"{name:<26} {seconds:6.3f} s")
    return int(any(measured[name] >= LIMIT_S for name in CLAIMED))


if __name__ == "__main__":
    sys.exit(main())
