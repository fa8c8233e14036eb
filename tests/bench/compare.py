#!/usr/bin/env python3
"""Octet beside OpenVINO and ONNX Runtime on the same machine: latency, start, memory, size, closeness.

usage: compare.py [--octet PATH] [--threads 1,2] [--rounds 5] [--seconds 2] [--cpu CPU] [--venv DIR] [--json FILE]
                  [--update README.md] MODEL ...
       compare.py --from FILE.json ... [--update README.md]

MODEL is an .xml file, or a folder with model.xml in it. Each round runs octet's program, then OpenVINO (CPU plugin, latency
hint, one stream), then ONNX Runtime, each in a process of its own, one inference at a time. Medians are the median over the
rounds of each round's median, minima the least of all; a ratio is octet's time divided by the peer's, so below 1 octet is
faster. OpenVINO's latency is the one its own runtime measures, as benchmark_app reports it.

ONNX Runtime takes part where model.onnx lies beside model.xml: the same network with QuantizeLinear and DequantizeLinear, from
the tool that quantized it. An IR is not translated here: FakeQuantize with its ranges has no exact counterpart in ONNX where
the zero point is not an integer or input and output ranges differ, and a peer must not be slowed down by a translation.

First result: octet, from starting the process to its end; the peers, from reading the model to the end of the first inference,
without starting Python and without loading their libraries, which favours them. Memory: the most that a process held; the
peers' without what Python held before. Size: octet's program; the peers' model and shared libraries.

Where the folder has case0_in*.npy and case0_ref*.npy they are the input and the expected output: what octet computes
must come as close to it as meta.json asks for (20 dB if there is none), or nothing is timed. The peers' closeness is shown
beside it, since a fast wrong result is no peer either. Without such files the input is noise, the same for all.

--update replaces what stands between the lines <!-- compare.py begins --> and <!-- compare.py ends --> of a file by the table.
--from reads what --json wrote instead of measuring: rows of several runs make one table. ONEDNN_MAX_CPU_ISA=AVX2 in the
environment holds OpenVINO to AVX2, --cpu x86-64-v3 octet.

Needs openvino, onnxruntime and numpy; what is missing is installed into a virtual environment (--venv, by default under
target/).
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import peers

SIDES = {"octet": "Octet", "openvino": "OpenVINO", "onnxruntime": "ONNX Runtime"}


def sqnr_db(reference, output):
    import numpy as np
    reference, output = reference.astype(np.float64), output.astype(np.float64)
    noise, signal = ((reference - output) ** 2).sum(), (reference**2).sum()
    return 99.0 if noise == 0 else float(10 * np.log10(max(signal, 1e-300) / noise))


class Model:
    """A model with its input, and the expected output if there is one."""

    def __init__(self, path, work):
        self.xml = path / "model.xml" if path.is_dir() else path
        folder = self.xml.parent
        self.name = path.resolve().name if path.is_dir() else self.xml.stem
        self.onnx = self.xml.with_suffix(".onnx")
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
        """dB of each output; None without references."""
        import numpy as np
        pairs = zip(self.references, outputs)
        return [sqnr_db(np.load(reference), np.load(output)) for reference, output in pairs] or None


class Octet:
    name = "octet"

    def __init__(self, octet, model, cpu, work):
        self.program = work / "program"
        peers.run([octet, "compile", model.xml, "-o", self.program, *(["--cpu", cpu] if cpu else [])])
        self.model = model
        self.work = work

    def _inputs(self):
        return [word for file in self.model.inputs for word in ("--input", file)]

    def outputs(self):
        files = [self.work / f"octet{index}.npy" for index in range(len(self.model.references))]
        peers.run([self.program, "run", *self._inputs(), *[word for file in files for word in ("--output", file)]])
        return files

    def latency(self, threads, seconds):
        report = self.work / "octet.json"
        options = ["--threads", threads, "--duration", seconds, "--json", report]
        peers.run([self.program, "bench", *self._inputs(), *options])
        latency = json.loads(report.read_text())["latency_ms"]
        return latency["median"], latency["min"]

    def start(self, threads):
        """Milliseconds of a process that computes one result, and KiB of one that computes some."""
        words = [str(word) for word in (self.program, "run", *self._inputs(), "--threads", threads)]
        begin = time.perf_counter()
        subprocess.run(words, stdout=subprocess.DEVNULL, check=True)
        elapsed = time.perf_counter() - begin
        return {"first_ms": 1e3 * elapsed, "peak_kib": self._peak_kib(threads)}

    def _peak_kib(self, threads):
        """Read from the running process: what wait4 reports counts the memory of this script, which was forked."""
        words = [self.program, "bench", *self._inputs(), "--threads", threads, "--duration", 60]
        child = subprocess.Popen([str(word) for word in words], stdout=subprocess.DEVNULL)
        try:
            time.sleep(0.3)
            return resident_kib("VmHWM", child.pid)
        finally:
            child.kill()
            child.wait()

    def size(self):
        return self.program.stat().st_size


class Peer:
    """A runtime in a process of its own: this script as a worker."""

    def __init__(self, name, model, work):
        self.name = name
        self.model = model
        self.work = work
        self.file = model.onnx if name == "onnxruntime" else model.xml

    def _worker(self, *arguments):
        command = [sys.executable, __file__, "--worker", self.name, self.file, *arguments, "--", *self.model.inputs]
        return peers.run(command)

    def outputs(self):
        self._worker("outputs", self.work)
        return [self.work / f"{self.name}{index}.npy" for index in range(len(self.model.references))]

    def latency(self, threads, seconds):
        return json.loads(self._worker("latency", threads, seconds))

    def start(self, threads):
        return json.loads(self._worker("start", threads))

    def size(self):
        """Of the model and of the shared libraries it is run by."""
        import importlib.util

        package = pathlib.Path(importlib.util.find_spec(self.name).origin).parent
        libraries = [file for file in package.rglob("*") if ".so" in file.name and not file.is_symlink()]
        model = [self.file, self.file.with_suffix(".bin")] if self.name == "openvino" else [self.file]
        return sum(file.stat().st_size for file in (*libraries, *model) if file.exists())


class OpenVinoRequest:
    def __init__(self, file, threads, arrays):
        import openvino as ov
        core = ov.Core()
        network = core.read_model(file)
        if network.is_dynamic():
            network.reshape({port: array.shape for port, array in zip(network.inputs, arrays)})
        config = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1}
        self.request = core.compile_model(network, "CPU", config).create_infer_request()
        self.count = len(network.outputs)
        for index, array in enumerate(arrays):
            self.request.set_input_tensor(index, ov.Tensor(array))

    def infer(self):
        self.request.start_async()
        self.request.wait()
        return self.request.latency

    def outputs(self):
        return [self.request.get_output_tensor(index).data for index in range(self.count)]


class OnnxRequest:
    def __init__(self, file, threads, arrays):
        import onnxruntime
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        self.feeds = {port.name: array for port, array in zip(self.session.get_inputs(), arrays)}

    def infer(self):
        begin = time.perf_counter()
        self.results = self.session.run(None, self.feeds)
        return 1e3 * (time.perf_counter() - begin)

    def outputs(self):
        return self.results


def resident_kib(key, process="self"):
    status = pathlib.Path(f"/proc/{process}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith(key + ":")))


def worker(words):
    """`NAME MODEL outputs FOLDER -- INPUTS`, `NAME MODEL latency THREADS SECONDS -- INPUTS`, `NAME MODEL start THREADS -- INPUTS`."""
    import numpy as np

    split = words.index("--")
    (name, file, task, *arguments), inputs = words[:split], words[split + 1 :]
    arrays = [np.load(path) for path in inputs]
    before = resident_kib("VmRSS")
    __import__(name)
    begin = time.perf_counter()
    kind = {"openvino": OpenVinoRequest, "onnxruntime": OnnxRequest}[name]
    request = kind(file, 1 if task == "outputs" else int(arguments[0]), arrays)
    request.infer()
    first_ms = 1e3 * (time.perf_counter() - begin)
    if task == "start":
        print(json.dumps({"first_ms": first_ms, "peak_kib": resident_kib("VmHWM") - before}))
        return
    if task == "outputs":
        for index, output in enumerate(request.outputs()):
            np.save(pathlib.Path(arguments[0]) / f"{name}{index}.npy", output)
        return
    for _ in range(10):
        request.infer()
    samples, end = [], time.monotonic() + float(arguments[1])
    while time.monotonic() < end or len(samples) < 5:
        samples.append(request.infer())
    print(json.dumps([statistics.median(samples), min(samples)]))


def compare(model, sides, threads, rounds, seconds):
    samples = {side.name: [] for side in sides}
    starts = {side.name: [] for side in sides}
    for _ in range(rounds):
        for side in sides:
            samples[side.name].append(side.latency(threads, seconds))
            starts[side.name].append(side.start(threads))
    row = {"model": model.name, "threads": threads, "rounds": rounds}
    for side in sides:
        latencies, begun = samples[side.name], starts[side.name]
        row[side.name] = {
            "median_ms": statistics.median(median for median, _ in latencies),
            "min_ms": min(least for _, least in latencies),
            "first_ms": statistics.median(start["first_ms"] for start in begun),
            "peak_bytes": 1024 * statistics.median(start["peak_kib"] for start in begun),
            "size_bytes": side.size(),
        }
        if side.name != "octet":
            for key in ("median_ms", "min_ms", "first_ms"):
                row[side.name][f"ratio_{key[:-3]}"] = row["octet"][key] / row[side.name][key]
    return row


def bench(path, options):
    """Rows for one model, or the reason why there are none."""
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        model = Model(path, work)
        sides = [Octet(options.octet.resolve(), model, options.cpu, work), Peer("openvino", model, work)]
        if model.onnx.exists():
            sides.append(Peer("onnxruntime", model, work))
        close = {side.name: model.closeness(side.outputs()) for side in sides}
        for db, floor in zip(close["octet"] or [], model.floors):
            if db < floor:
                raise RuntimeError(f"octet computes something else: {db:.1f} dB, must be {floor:.1f}; not timed")
        rows = []
        for threads in options.threads:
            row = compare(model, sides, threads, options.rounds, options.seconds)
            for side in sides:
                row[side.name]["db"] = close[side.name]
            rows.append(row)
            print(f"{row_text(row)}", file=sys.stderr, flush=True)
        return rows


def row_text(row):
    """One line for those who wait."""
    parts = [f"{row['model']}, {row['threads']} thread(s): octet {row['octet']['median_ms']:.3f} ms"]
    for side in ("openvino", "onnxruntime"):
        if side in row:
            parts.append(f"{side} {row[side]['median_ms']:.3f} ms, ratio {row[side]['ratio_median']:.2f} (of minima {row[side]['ratio_min']:.2f})")
    return "; ".join(parts)


def markdown(rows):
    """The table of all rows; columns of ONNX Runtime only if it took part."""
    sides = [side for side in SIDES if any(side in row for row in rows)]
    compared = sides[1:]
    head = ["model", "threads", *(f"{SIDES[side]} ms" for side in sides)]
    head += [f"/ {SIDES[side]} {what}" for side in compared for what in ("median", "min")]
    for what in ("first result ms", "memory MB", "size MB", "dB"):
        head.append(f"{what}: {' / '.join(SIDES[side] for side in sides)}")
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    for row in sorted(rows, key=lambda row: row["threads"]):
        of = lambda side, show: show(row[side]) if side in row else "\u2013"
        cells = [row["model"], str(row["threads"])]
        cells += [of(side, lambda numbers: f"{numbers['median_ms']:.3f}") for side in sides]
        for side in compared:
            cells += [of(side, lambda numbers: f"{numbers[f'ratio_{key}']:.2f}") for key in ("median", "min")]
        shows = [
            lambda numbers: f"{numbers['first_ms']:.1f}",
            lambda numbers: f"{numbers['peak_bytes'] / 1e6:.1f}",
            lambda numbers: f"{numbers['size_bytes'] / 1e6:.1f}",
            lambda numbers: f"{min(numbers['db']):.0f}" if numbers["db"] else "\u2013",
        ]
        cells += [" / ".join(of(side, show) for side in sides) for show in shows]
        lines.append("| " + " | ".join(cells) + " |")
    for threads in sorted({row["threads"] for row in rows}):
        for side in compared:
            ratios = [row[side]["ratio_median"] for row in rows if row["threads"] == threads and side in row]
            if len(ratios) > 1:
                mean = statistics.geometric_mean(ratios)
                lines.append(f"\nGeometric mean of Octet / {SIDES[side]}, {threads} thread{'' if threads == 1 else 's'}: {mean:.2f}.")
    return "\n".join(lines) + "\n"


def main():
    if sys.argv[1:2] == ["--worker"]:
        return worker(sys.argv[2:])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--octet", type=pathlib.Path, default=peers.ROOT / "target/release/octet")
    parser.add_argument("--threads", type=lambda text: [int(word) for word in text.split(",")], default=[1, 2])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--cpu", help="octet's --cpu; default native")
    parser.add_argument("--venv", type=pathlib.Path, default=peers.VENV)
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("--from", dest="sources", type=pathlib.Path, nargs="+", default=[], metavar="FILE.json")
    parser.add_argument("--update", type=pathlib.Path, metavar="FILE")
    parser.add_argument("models", nargs="*", type=pathlib.Path, metavar="MODEL")
    options = parser.parse_args()
    if not options.models and not options.sources:
        parser.error("give MODEL, or --from")
    rows = [row for source in options.sources for row in json.loads(source.read_text())]
    failures = 0
    if options.models:
        peers.ensure(options.venv, ["numpy", "openvino", "onnxruntime"])
    for path in options.models:
        try:
            rows += bench(path, options)
        except RuntimeError as error:
            failures += 1
            print(f"{path}: {error}", file=sys.stderr, flush=True)
    if rows:
        table = markdown(rows)
        print(table)
        if options.update:
            peers.replace_between_markers(options.update, "compare.py", table)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
