#!/usr/bin/env python3
"""Where the time of a model goes, layer by layer: octet's profile beside OpenVINO's own counters, as markdown.

usage: layers.py [--octet PATH] [--threads N] [--seconds S] [--cpu CPU] [--min-share PERCENT] [--venv DIR] [--update FILE] MODEL ...

MODEL is an .xml file, or a folder with model.xml in it. Both fuse layers, and not the same ones: steps meet in a row where they
compute the same multiplication; those without one are with the steps that they share a layer with. Layers are matched by
the names in the model: octet's `original_names`, and `originalLayersNames` of OpenVINO's execution graph. OpenVINO's times are the means of its counters
over the inferences of --seconds, octet's the medians of its profile. Per cent of the peak is octet's and OpenVINO's rate
divided by the best rate of products that octet's program measures on this machine with the instructions it was compiled
for; OpenVINO may use others, and be beyond it.

--update replaces what stands between the lines <!-- layers.py begins --> and <!-- layers.py ends --> of a file by the tables.

Needs openvino; if it is missing it is installed into a virtual environment (--venv, by default under target/).
"""
import argparse
import json
import pathlib
import tempfile
import xml.etree.ElementTree as xml_tree

import peers


def openvino_layers(xml, threads, seconds):
    """(names in the model, ms, type, exec type) of each executed node."""
    import time

    import numpy as np
    import openvino as ov

    core = ov.Core()
    model = core.read_model(xml)
    if model.is_dynamic():
        model.reshape({port: [dim.get_length() if dim.is_static else 1 for dim in port.partial_shape] for port in model.inputs})
    config = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "PERF_COUNT": True}
    compiled = core.compile_model(model, "CPU", config)
    originals = {}
    for node in compiled.get_runtime_model().get_ops():
        names = node.get_rt_info()["originalLayersNames"].astype(str)
        originals[node.friendly_name] = [name for name in names.split(",") if name]
    request = compiled.create_infer_request()
    random = np.random.default_rng(1)
    for index, port in enumerate(compiled.inputs):
        whole = port.element_type.is_integral()
        data = random.integers(0, 2, port.shape) if whole else random.standard_normal(port.shape)
        request.set_input_tensor(index, ov.Tensor(data.astype(port.element_type.to_dtype())))
    for _ in range(10):
        request.infer()
    times, count, end = {}, 0, time.monotonic() + seconds
    while time.monotonic() < end or count < 5:
        request.infer()
        count += 1
        for info in request.profiling_info:
            row = times.setdefault(info.node_name, [0.0, info.node_type, info.exec_type])
            row[0] += info.real_time.total_seconds() * 1e3
    layers = []
    for name, (total, kind, exec_type) in times.items():
        if total > 0 and kind not in ("Parameter", "Result", "Const"):
            layers.append((originals.get(name) or [name], total / count, kind, exec_type))
    return layers


class Groups:
    """Union-find over names of layers."""

    def __init__(self):
        self.parent = {}

    def find(self, name):
        self.parent.setdefault(name, name)
        while self.parent[name] != name:
            self.parent[name] = self.parent[self.parent[name]]
            name = self.parent[name]
        return name

    def join(self, names):
        first = self.find(names[0])
        for name in names[1:]:
            self.parent[self.find(name)] = first


PRODUCTS = {"Convolution", "ConvolutionBackpropData", "GroupConvolution", "GroupConvolutionBackpropData", "MatMul", "LSTMSequence", "GRUSequence", "RNNSequence"}


def products_of(xml):
    """Names of the layers that multiply."""
    layers = xml_tree.parse(xml).getroot().iter("layer")
    return {layer.get("name") for layer in layers if layer.get("type") in PRODUCTS}


def matched(octet, openvino, products):
    """Rows {octet: [layer], openvino: [layer]} in octet's order of execution, then OpenVINO's own.

    Steps meet by the layer that multiplies: a residual addition that the two fuse into different convolutions must not make
    one row of both. A step that multiplies nothing belongs to the steps that share a layer with it."""
    for layer in octet:
        layer["originals"] = [name for name in layer["original_names"].split(",") if name] or [layer["name"]]
    steps = [("octet", layer, layer["originals"]) for layer in octet]
    steps += [("openvino", layer, layer[0]) for layer in openvino]
    anchors = [[name for name in names if name in products] for _, _, names in steps]
    groups, owner = Groups(), {}
    for (_, _, names), anchor in zip(steps, anchors):
        if anchor:
            groups.join(anchor)
            for name in names:
                owner.setdefault(name, anchor[0])
    for (_, _, names), anchor in zip(steps, anchors):
        if not anchor:
            owned = [owner[name] for name in names if name in owner]
            groups.join(owned[:1] + [name for name in names if name not in owner])
    rows = {}
    for (side, layer, names), anchor in zip(steps, anchors):
        name = (anchor or [owner.get(name, name) for name in names])[0]
        rows.setdefault(groups.find(name), {"octet": [], "openvino": []})[side].append(layer)
    return list(rows.values())


def title(row):
    """The layer with the most multiplications, and how many others are in the row."""
    if row["octet"]:
        main = max(row["octet"], key=lambda layer: (layer["macs"], layer["real_time_ms"]))
        names = {name for layer in row["octet"] for name in layer["originals"]}
        others = f" +{len(names) - 1}" if len(names) > 1 else ""
        return f"{main['name']}{others}", main["layer_type"], main["exec_type"]
    main = max(row["openvino"], key=lambda layer: layer[1])
    return main[0][0], main[2], ""


def report(path, options, work):
    xml = path / "model.xml" if path.is_dir() else path
    program, numbers = work / "program", work / "profile.json"
    peers.run([options.octet.resolve(), "compile", xml, "-q", "-o", program, *(["--cpu", options.cpu] if options.cpu else [])])
    peers.run([program, "bench", "--threads", options.threads, "--duration", options.seconds, "--profile", "--json", numbers])
    profile = json.loads(numbers.read_text())
    openvino = openvino_layers(xml, options.threads, options.seconds)
    rows = matched(profile["layers"], openvino, products_of(xml))
    for row in rows:
        row["octet_ms"] = sum(layer["real_time_ms"] for layer in row["octet"])
        row["openvino_ms"] = sum(layer[1] for layer in row["openvino"])
        row["macs"] = sum(layer["macs"] for layer in row["octet"])
    return profile, rows


def markdown(name, profile, rows, options):
    peaks = {precision: peak["gmac_per_s"] for precision, peak in profile["peak"].items()}
    described = ", ".join(f"{p} {peak['gmac_per_s']:.0f} GMAC/s ({peak['instructions']})" for p, peak in profile["peak"].items())
    lines = [
        f"### {name}, {options.threads} thread{'' if options.threads == 1 else 's'}",
        "",
        f"Compiled for {profile['cpu']}; peak: {described}.",
        "",
        "| layers | type | octet's kernel | octet ms | OpenVINO ms | OpenVINO's kernel | octet / OpenVINO | GMAC/s | % of peak | OpenVINO GMAC/s | % of peak |",
        "|---|---|---|---:|---:|---|---:|---:|---:|---:|---:|",
    ]
    total = sum(row["octet_ms"] for row in rows), sum(row["openvino_ms"] for row in rows)
    rest = {"octet_ms": 0.0, "openvino_ms": 0.0, "count": 0}
    for row in rows:
        share = max(row["octet_ms"] / total[0], row["openvino_ms"] / total[1])
        if 100 * share < options.min_share:
            rest["octet_ms"] += row["octet_ms"]
            rest["openvino_ms"] += row["openvino_ms"]
            rest["count"] += 1
            continue
        what, kind, kernel = title(row)
        precision = next((layer["precision"] for layer in row["octet"] if layer["macs"]), "I8")
        theirs = max(row["openvino"], key=lambda layer: layer[1])[3] if row["openvino"] else ""
        cells = [f"`{what}`", kind, kernel, f"{row['octet_ms']:.4f}", f"{row['openvino_ms']:.4f}", theirs]
        cells.append(f"{row['octet_ms'] / row['openvino_ms']:.2f}" if row["openvino_ms"] else "")
        for ms in (row["octet_ms"], row["openvino_ms"]):
            rate = row["macs"] / ms / 1e6 if ms and row["macs"] else None
            cells += [f"{rate:.0f}", f"{100 * rate / peaks[precision]:.0f}"] if rate else ["", ""]
        lines.append("| " + " | ".join(cells) + " |")
    ratio = f"{rest['octet_ms'] / rest['openvino_ms']:.2f}" if rest["openvino_ms"] else ""
    lines.append(f"| {rest['count']} shorter rows | | | {rest['octet_ms']:.4f} | {rest['openvino_ms']:.4f} | | {ratio} | | | | |")
    lines.append(f"| **all** | | | {total[0]:.3f} | {total[1]:.3f} | | {total[0] / total[1]:.2f} | | | | |")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--octet", type=pathlib.Path, default=peers.ROOT / "target/release/octet")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--cpu", help="octet's --cpu; default native")
    parser.add_argument("--min-share", type=float, default=1.0, metavar="PERCENT", help="rows below it are summed up; default 1")
    parser.add_argument("--venv", type=pathlib.Path, default=peers.VENV)
    parser.add_argument("--update", type=pathlib.Path, metavar="FILE")
    parser.add_argument("models", nargs="+", type=pathlib.Path, metavar="MODEL")
    options = parser.parse_args()
    peers.ensure(options.venv, ["openvino", "numpy"])
    tables = []
    for path in options.models:
        with tempfile.TemporaryDirectory() as work:
            profile, rows = report(path, options, pathlib.Path(work))
        name = path.name if path.is_dir() else path.stem
        tables.append(markdown(name, profile, rows, options))
        print(tables[-1], flush=True)
    if options.update:
        peers.replace_between_markers(options.update, "layers.py", "\n" + "\n".join(tables) + "\n")


if __name__ == "__main__":
    main()
