#!/usr/bin/env python3
"""Octet and OpenVINO side by side on the same machine: latency of one inference at a time.

usage: compare.py [--octet PATH] [--threads 1,2] [--rounds 5] [--seconds 2] [--cpu CPU] [--json FILE] MODEL ...

MODEL is an .xml file, or a folder with model.xml in it. Each round runs octet's program and then OpenVINO (CPU plugin,
latency hint, one stream), each in a process of its own; a ratio above 1 says how many times faster octet is. Medians are
the median over the rounds of each round's median, minima the least of all. OpenVINO's latency is the one its own
runtime measures, as benchmark_app reports it.

Where the folder has case0_in*.npy and case0_ref*.npy they are the input and the expected output: what octet computes
must come as close to it as meta.json asks for (20 dB if there is none), or nothing is timed. OpenVINO's closeness is
shown beside it, since a fast wrong result is no peer either. Without such files the input is noise, the same for both.

Needs openvino and numpy; if they are missing they are installed into a virtual environment under target/.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]


def ensure_peers():
    """Restarts this script in a virtual environment that has the peers, unless they are here."""
    try:
        import numpy, openvino  # noqa: F401
        return
    except ImportError:
        pass
    venv = ROOT / "target" / "bench-venv"
    python = venv / "bin" / "python"
    if pathlib.Path(sys.prefix) == venv:
        sys.exit("openvino cannot be imported although it was installed")
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", "openvino", "numpy"], check=True)
    os.execv(python, [str(python), *sys.argv])


def sqnr_db(reference, output):
    import numpy as np
    reference, output = reference.astype(np.float64), output.astype(np.float64)
    noise, signal = ((reference - output) ** 2).sum(), (reference**2).sum()
    return 99.0 if noise == 0 else float(10 * np.log10(max(signal, 1e-300) / noise))


def run(command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"exit {done.returncode}: {' '.join(map(str, command))}\n{done.stderr.strip()}")
    return done.stdout


class Model:
    """A model with its input, and the expected output if there is one."""

    def __init__(self, path, work):
        self.xml = path / "model.xml" if path.is_dir() else path
        folder = self.xml.parent
        self.name = "/".join(folder.parts[-2:]) if path.is_dir() else self.xml.stem
        self.inputs = sorted(folder.glob("case0_in*.npy"))
        self.references = sorted(folder.glob("case0_ref*.npy"))
        self.floors = self._floors(folder)
        if not self.inputs:
            self.inputs = self._noise(work)

    def _floors(self, folder):
        meta = folder / "meta.json"
        if not meta.exists():
            return [20.0] * len(self.references)
        outputs = json.loads(meta.read_text())["cases"][0]["outputs"]
        return [min(output["floor_db"], 43.0) - 6.0 for output in outputs]

    def _noise(self, work):
        import numpy as np
        import openvino as ov
        generator = np.random.default_rng(1)
        files = []
        for index, port in enumerate(ov.Core().read_model(self.xml).inputs):
            shape = [dim.get_length() if dim.is_static else 1 for dim in port.partial_shape]
            dtype = port.element_type.to_dtype()
            whole = np.issubdtype(dtype, np.integer)
            data = generator.integers(0, 2, shape) if whole else generator.standard_normal(shape)
            files.append(work / f"in{index}.npy")
            np.save(files[-1], data.astype(dtype))
        return files

    def closeness(self, outputs):
        """dB of the worst output in relation to what is asked for; None without references."""
        import numpy as np
        pairs = zip(self.references, outputs)
        return [sqnr_db(np.load(reference), np.load(output)) for reference, output in pairs] or None


class Octet:
    name = "octet"

    def __init__(self, octet, model, cpu, work):
        self.program = work / "program"
        run([octet, "compile", model.xml, "-o", self.program, *(["--cpu", cpu] if cpu else [])])
        self.model = model
        self.work = work

    def _inputs(self):
        return [word for file in self.model.inputs for word in ("--input", file)]

    def outputs(self):
        files = [self.work / f"octet{index}.npy" for index in range(len(self.model.references))]
        run([self.program, "run", *self._inputs(), *[word for file in files for word in ("--output", file)]])
        return files

    def latency(self, threads, seconds):
        report = self.work / "octet.json"
        options = ["--threads", threads, "--duration", seconds, "--json", report]
        run([self.program, "bench", *self._inputs(), *options])
        latency = json.loads(report.read_text())["latency_ms"]
        return latency["median"], latency["min"]


class OpenVino:
    name = "openvino"

    def __init__(self, model, work):
        self.model = model
        self.work = work

    def _worker(self, *arguments):
        return run([sys.executable, __file__, "--worker", self.model.xml, *arguments, "--", *self.model.inputs])

    def outputs(self):
        self._worker("outputs", self.work)
        return [self.work / f"openvino{index}.npy" for index in range(len(self.model.references))]

    def latency(self, threads, seconds):
        return json.loads(self._worker("latency", threads, seconds))


def worker(words):
    """The process that runs OpenVINO: `XML outputs FOLDER -- INPUTS` or `XML latency THREADS SECONDS -- INPUTS`."""
    import statistics
    import time

    import numpy as np
    import openvino as ov

    split = words.index("--")
    (xml, task, *arguments), inputs = words[:split], words[split + 1 :]
    core = ov.Core()
    network = core.read_model(xml)
    arrays = [np.load(file) for file in inputs]
    if network.is_dynamic():
        network.reshape({port: array.shape for port, array in zip(network.inputs, arrays)})
    threads = int(arguments[0]) if task == "latency" else 1
    config = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1}
    request = core.compile_model(network, "CPU", config).create_infer_request()
    for index, array in enumerate(arrays):
        request.set_input_tensor(index, ov.Tensor(array))

    def infer():
        request.start_async()
        request.wait()
        return request.latency

    for _ in range(10):
        infer()
    if task == "outputs":
        for index in range(len(network.outputs)):
            np.save(pathlib.Path(arguments[0]) / f"openvino{index}.npy", request.get_output_tensor(index).data)
        return
    samples, end = [], time.monotonic() + float(arguments[1])
    while time.monotonic() < end or len(samples) < 5:
        samples.append(infer())
    print(json.dumps([statistics.median(samples), min(samples)]))


def compare(model, sides, threads, rounds, seconds):
    import statistics
    samples = {side.name: [] for side in sides}
    for _ in range(rounds):
        for side in sides:
            samples[side.name].append(side.latency(threads, seconds))
    row = {"model": model.name, "threads": threads, "rounds": rounds}
    for name, pairs in samples.items():
        row[name] = {"median_ms": statistics.median(pair[0] for pair in pairs), "min_ms": min(pair[1] for pair in pairs)}
    for key in ("median_ms", "min_ms"):
        row[f"ratio_{key[:-3]}"] = row["openvino"][key] / row["octet"][key]
    return row


def bench(path, options):
    """Rows for one model, or the reason why there are none."""
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        model = Model(path, work)
        octet = Octet(options.octet.resolve(), model, options.cpu, work)
        openvino = OpenVino(model, work)
        close = {side.name: model.closeness(side.outputs()) for side in (octet, openvino)}
        if close["octet"]:
            for db, floor in zip(close["octet"], model.floors):
                if db < floor:
                    raise RuntimeError(f"octet computes something else: {db:.1f} dB, must be {floor:.1f}; not timed")
        rows = []
        for threads in options.threads:
            row = compare(model, (octet, openvino), threads, options.rounds, options.seconds)
            rows.append({**row, "octet_db": close["octet"], "openvino_db": close["openvino"]})
            print(markdown(rows[-1]), flush=True)
        return rows


HEADER = """\
| model | threads | octet median | OpenVINO median | ratio | octet min | OpenVINO min | ratio | octet dB | OpenVINO dB |
|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|"""


def markdown(row):
    def decibels(values):
        return "" if values is None else f"{min(values):.1f}"

    cells = [row["model"], row["threads"]]
    for key in ("median", "min"):
        times = (row[side][f"{key}_ms"] for side in ("octet", "openvino"))
        cells += [*(f"{ms:.3f} ms" for ms in times), f"{row[f'ratio_{key}']:.2f}"]
    return "| " + " | ".join(map(str, [*cells, decibels(row["octet_db"]), decibels(row["openvino_db"])])) + " |"


def main():
    if sys.argv[1:2] == ["--worker"]:
        return worker(sys.argv[2:])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--octet", type=pathlib.Path, default=ROOT / "target/release/octet")
    parser.add_argument("--threads", type=lambda text: [int(word) for word in text.split(",")], default=[1, 2])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--cpu", help="octet's --cpu; default native")
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("models", nargs="+", type=pathlib.Path, metavar="MODEL")
    options = parser.parse_args()
    ensure_peers()
    rows, failures = [], 0
    print(HEADER, flush=True)
    for path in options.models:
        try:
            rows += bench(path, options)
        except RuntimeError as error:
            failures += 1
            print(f"\n{path}: {error}\n", file=sys.stderr, flush=True)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
