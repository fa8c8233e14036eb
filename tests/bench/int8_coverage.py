#!/usr/bin/env python3
"""The share of multiply-accumulates in INT8: what octet compiles, and what OpenVINO's CPU plugin runs.

usage: int8_coverage.py [--octet PATH] MODEL ...

MODEL is an .xml file, or a folder with model.xml in it. Octet's share is that of `octet explain --json`. OpenVINO's is
read off the execution graph of the compiled model: every convolution, product and recurrent sequence counts with its
shapes, and as INT8 if it reads 8-bit integers. Both shares are of the tool's own count. OpenVINO works with f32 where it does not
work with INT8, as octet does, and with batch 1 where the model leaves the batch open.

Prints a Markdown table. Exit status: 1 if octet's share is below OpenVINO's for some model, 2 if something is missing.
"""
import argparse
import json
import math
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]

# OpenVINO computes the totals to the last unit, octet prints exact integers: only their quotient is rounded.
TOLERANCE = 1e-9


def int_bytes(name):
    """Whether the name of an element type is one of 8-bit integers."""
    return any(word in name for word in ("int8", "uint8", "i8", "u8"))


class Node:
    """A node of the execution graph."""

    def __init__(self, op):
        self.kind = self._info(op, "layerType")
        self.layers = self._info(op, "originalLayersNames").split(",")
        self.inputs = [[dim.get_length() for dim in port.get_partial_shape()] for port in op.inputs()]
        self.int8 = [int_bytes(port.get_element_type().to_string()) for port in op.inputs()]
        self.output = [dim.get_length() for dim in op.output(0).get_partial_shape()] if op.outputs() else []

    @staticmethod
    def _info(op, key):
        info = op.get_rt_info()
        if key not in info:
            return ""
        value = info[key]
        return str(value.value if hasattr(value, "value") else value)

    def macs(self, products):
        """(in INT8, all), per inference."""
        counted = {
            "Convolution": self._convolution,
            "Deconvolution": self._deconvolution,
            "FullyConnected": self._fully_connected,
            "MatMul": self._matmul,
            "RNNSeq": self._recurrent,
            "RNNCell": self._recurrent,
        }
        if self.kind in counted:
            count = counted[self.kind]()
            return (count if self.int8[0] else 0), count
        if self.kind in ("Subgraph", "MHA", "ScaledDotProductAttention", "ScaledAttn"):
            return self._attention(products)
        return 0, 0

    def _convolution(self):
        # Weights are [oc, ic, ..] or [groups, oc / groups, ic / groups, ..].
        weights, channels = self.inputs[1], self.output[1]
        groups = len(weights) - len(self.inputs[0])
        per_channel = math.prod(weights[1 + groups:])
        assert math.prod(weights[:1 + groups]) == channels, (weights, channels)
        return math.prod(self.output) * per_channel

    def _deconvolution(self):
        # Weights are [ic, oc, ..] or [groups, ic / groups, oc / groups, ..]: every source element meets all of its group's.
        weights = self.inputs[1]
        groups = len(weights) - len(self.inputs[0])
        return math.prod(self.inputs[0]) * math.prod(weights[1 + groups:])

    def _fully_connected(self):
        return math.prod(self.output) * self.inputs[1][-1]

    def _matmul(self):
        # The output is [batch.., m, n], the left operand has batch * m * k elements.
        batch = math.prod(self.output[:-2])
        inner = math.prod(self.inputs[0][-2:]) // self.output[-2]
        return batch * math.prod(self.output[-2:]) * inner

    def _recurrent(self):
        x = self.inputs[0]
        weights = [shape for shape in self.inputs if len(shape) == 3 and shape[0] <= 2][-2:]
        return math.prod(x[:-1]) * sum(math.prod(shape) for shape in weights)

    def _attention(self, products):
        """An attention fused into one kernel: query, transposed key, .., value; its names are not all there."""
        if not any(layer in products for layer in self.layers):
            return 0, 0
        tokens = self.inputs[1][-1]
        scores, mixed = math.prod(self.inputs[0]) * tokens, math.prod(self.output) * tokens
        int8 = (scores if all(self.int8[:2]) else 0) + (mixed if self.int8[-1] and len(self.int8) > 2 else 0)
        return int8, scores + mixed


def product_layers(model):
    """Names of the layers that multiply two computed operands, or may."""
    kinds = ("MatMul", "ScaledDotProductAttention")
    return {op.get_friendly_name() for op in model.get_ordered_ops() if op.get_type_name() in kinds}


def openvino_macs(xml):
    import openvino as ov
    core = ov.Core()
    model = core.read_model(xml)
    if model.is_dynamic():
        static = lambda port: [dim.get_length() if dim.is_static else 1 for dim in port.get_partial_shape()]
        model.reshape({port: static(port) for port in model.inputs})
    products = product_layers(model)
    compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    counts = [Node(op).macs(products) for op in compiled.get_runtime_model().get_ordered_ops()]
    return sum(int8 for int8, _ in counts), sum(count for _, count in counts)


def octet_macs(octet, xml):
    done = subprocess.run([octet, "explain", xml, "--json"], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"octet explain {xml}: exit {done.returncode}\n{done.stderr.strip()}")
    report = json.loads(done.stdout)
    return report["int8_macs"], report["macs"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--octet", default=ROOT / "target" / "release" / "octet", type=pathlib.Path)
    parser.add_argument("models", metavar="MODEL", nargs="+", type=pathlib.Path)
    args = parser.parse_args()
    try:
        import openvino  # noqa: F401
    except ImportError:
        print("this comparison needs OpenVINO: pip install openvino", file=sys.stderr)
        return 2
    if not args.octet.exists():
        print(f"{args.octet} does not exist: cargo build --release", file=sys.stderr)
        return 2
    short = []
    print("| model | MACs | INT8 in octet | INT8 in OpenVINO | |\n|---|---:|---:|---:|---|")
    for path in args.models:
        xml = path / "model.xml" if path.is_dir() else path
        name = "/".join(xml.parent.parts[-2:]) if path.is_dir() else xml.stem
        (own, all_own), (peer, all_peer) = octet_macs(args.octet, xml), openvino_macs(xml)
        own, peer = own / max(all_own, 1), peer / max(all_peer, 1)
        if own < peer - TOLERANCE:
            short.append(name)
        verdict = "less" if name in short else "more" if own > peer + TOLERANCE else "same"
        counted = f"{all_own}" if all_own == all_peer else f"{all_own} (OpenVINO: {all_peer})"
        print(f"| {name} | {counted} | {100 * own:.2f} % | {100 * peer:.2f} % | {verdict} |")
    if short:
        print(f"\noctet runs less in INT8 than OpenVINO: {', '.join(short)}", file=sys.stderr)
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main())
