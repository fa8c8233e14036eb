"""Time from the start of a process to its first result: a program of Octet beside a C program with OpenVINO, in turn.

    first_inference.py OCTET MODEL.xml INPUT.npy [ROUNDS]

Needs a C compiler and the Python packages openvino (its headers and libraries are used) and numpy. Both get one thread and
files that are in memory; what is timed is everything from fork to exit.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import openvino

HERE = Path(__file__).parent


def build(directory: Path) -> Path:
    """The C program, linked with the libraries of the Python package."""
    package = Path(openvino.__file__).parent
    library = next((package / "libs").glob("libopenvino_c.so*"))
    program = directory / "openvino_first"
    source = HERE / "openvino_first.c"
    search = [f"-I{package / 'include'}", f"-Wl,-rpath,{package / 'libs'}", f"-Wl,-rpath-link,{package / 'libs'}"]
    subprocess.run(["cc", "-O2", *search, "-o", program, source, library], check=True)
    return program


def seconds(command: list) -> float:
    begin = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - begin


def main() -> None:
    octet, model, image = sys.argv[1:4]
    rounds = int(sys.argv[4]) if len(sys.argv) > 4 else 10
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        raw, app = directory / "input.bin", directory / "app"
        raw.write_bytes(np.load(image).tobytes())
        subprocess.run([octet, "compile", model, "-o", app, "--quiet"], check=True)
        commands = {
            "Octet": [app, "run", "--input", image, "--threads", "1"],
            "OpenVINO": [build(directory), model, raw],
        }
        times = {name: [] for name in commands}
        for round in range(rounds + 1):
            for name, command in commands.items():
                taken = seconds(command)
                # The first round brings the files into memory.
                if round > 0:
                    times[name].append(1e3 * taken)
        for name, taken in times.items():
            print(f"{name:10} min {min(taken):8.2f} ms, median {np.median(taken):8.2f} ms")
        print(f"ratio of medians {np.median(times['OpenVINO']) / np.median(times['Octet']):.1f}")


if __name__ == "__main__":
    main()
