"""What the scripts here share: the peers in a virtual environment of their own, and processes that must succeed."""
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
VENV = ROOT / "target" / "bench-venv"


def ensure(venv, packages):
    """Restarts this script in a virtual environment that has the packages, unless they can be imported here."""
    missing = [package for package in packages if not importable(package)]
    if not missing:
        return
    python = venv / "bin" / "python"
    if pathlib.Path(sys.prefix).resolve() == venv.resolve():
        subprocess.run([python, "-m", "pip", "install", "--quiet", *missing], check=True)
        still = [package for package in missing if not importable(package)]
        if still:
            sys.exit(f"{', '.join(still)} cannot be imported although installed")
        return
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    os.execv(python, [str(python), *sys.argv])


def importable(package):
    import importlib

    importlib.invalidate_caches()
    try:
        importlib.import_module(package)
        return True
    except ImportError:
        return False


def run(command):
    """Standard output of a process that succeeds."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"exit {done.returncode}: {' '.join(map(str, command))}\n{done.stderr.strip()}")
    return done.stdout


def replace_between_markers(file, name, text):
    """Replaces what stands in a file between the lines `<!-- name begins -->` and `<!-- name ends -->`."""
    begin, end = f"<!-- {name} begins -->", f"<!-- {name} ends -->"
    old = file.read_text()
    if old.count(begin) != 1 or old.count(end) != 1 or old.index(begin) > old.index(end):
        raise RuntimeError(f"{file} has no lines {begin} and {end}, one of each, in this order")
    before, rest = old.split(begin)
    file.write_text(f"{before}{begin}\n{text}{end}{rest.split(end)[1]}")
