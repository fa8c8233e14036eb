"""What the scripts do with numbers, without measuring any: python3 -m unittest discover tests/bench"""
import argparse
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import compare
import layers
import peers


def side(ms, octet_ms=None):
    numbers = {"median_ms": ms, "min_ms": ms / 2, "first_ms": 10 * ms, "peak_bytes": 2e6, "size_bytes": 3e6, "db": [40.0, 30.0]}
    if octet_ms is not None:
        numbers |= {f"ratio_{key}": octet_ms / ms for key in ("median", "min", "first")}
    return numbers


class Table(unittest.TestCase):
    rows = [
        {"model": "a", "threads": 2, "rounds": 1, "octet": side(1.0), "openvino": side(2.0, 1.0)},
        {"model": "a", "threads": 1, "rounds": 1, "octet": side(2.0), "openvino": side(4.0, 2.0)},
        {"model": "b", "threads": 1, "rounds": 1, "octet": side(8.0), "openvino": side(4.0, 8.0), "onnxruntime": side(16.0, 8.0)},
    ]

    def test_has_a_cell_for_each_column(self):
        lines = compare.markdown(self.rows).splitlines()
        table = [line for line in lines if line.startswith("|")]
        self.assertEqual(len(table), 2 + len(self.rows))
        self.assertEqual({line.count("|") for line in table}, {table[0].count("|")})
        self.assertIn("| a | 1 | 2.000 | 4.000 | – | 0.50 | 0.50 | – | – |", lines[2])
        self.assertIn("2.0 / 2.0 / 2.0", lines[3])
        self.assertIn("Geometric mean of Octet / OpenVINO, 1 thread: 1.00.", lines)

    def test_peers_without_numbers_have_no_column(self):
        self.assertNotIn("ONNX", compare.markdown(self.rows[:2]))


class Markers(unittest.TestCase):
    def test_only_what_stands_between_them_is_replaced(self):
        begin, end = "<!-- rows begins -->", "<!-- rows ends -->"
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "README.md"
            file.write_text(f"before\n{begin}\nold\n{end}\nafter\n")
            for text in ("new\n", "newer\n"):
                peers.replace_between_markers(file, "rows", text)
                self.assertEqual(file.read_text(), f"before\n{begin}\n{text}{end}\nafter\n")
            for wrong in ("no markers\n", f"{end}\n{begin}\n", f"{begin}\n{begin}\n{end}\n"):
                file.write_text(wrong)
                self.assertRaises(RuntimeError, peers.replace_between_markers, file, "rows", "new\n")


class Layers(unittest.TestCase):
    @staticmethod
    def octet(name, originals, ms, macs=0):
        return {
            "name": name, "original_names": originals, "layer_type": "Convolution", "exec_type": "conv_I8",
            "precision": "I8", "real_time_ms": ms, "macs": macs,
        }

    def test_fused_layers_meet_in_one_row(self):
        octet = [self.octet("conv1", "conv1,relu1", 1.0, 10), self.octet("conv2", "conv2", 2.0, 30), self.octet("pool", "pool", 0.5)]
        openvino = [(["relu1", "conv1"], 2.0, "Convolution", "jit"), (["conv2", "pool"], 1.5, "Convolution", "brgconv"), (["reorder"], 0.1, "Reorder", "jit")]
        rows = layers.matched(octet, openvino, set())
        self.assertEqual([(len(row["octet"]), len(row["openvino"])) for row in rows], [(1, 1), (2, 1), (0, 1)])
        self.assertEqual([layers.title(row)[0] for row in rows], ["conv1 +1", "conv2 +1", "reorder"])

    def test_a_sum_fused_into_different_products_joins_none(self):
        octet = [self.octet("conv1", "conv1,add", 1.0, 10), self.octet("conv2", "conv2", 2.0, 30), self.octet("pool", "pool,quantize", 0.5)]
        openvino = [(["conv1"], 2.0, "Convolution", "jit"), (["conv2", "add", "quantize"], 1.5, "Convolution", "jit"), (["pool"], 0.1, "Pool", "jit")]
        rows = layers.matched(octet, openvino, {"conv1", "conv2"})
        names = [([layer["name"] for layer in row["octet"]], [layer[0][0] for layer in row["openvino"]]) for row in rows]
        self.assertEqual(names, [(["conv1"], ["conv1"]), (["conv2", "pool"], ["conv2", "pool"])])

    def test_small_rows_are_summed_up(self):
        rows = layers.matched([self.octet("a", "a", 9.99, 10**9), self.octet("b", "b", 0.01)], [(["a"], 5.0, "Convolution", "x"), (["b"], 0.0, "Pool", "y")], {"a"})
        for row in rows:
            row["octet_ms"] = sum(layer["real_time_ms"] for layer in row["octet"])
            row["openvino_ms"] = sum(layer[1] for layer in row["openvino"])
            row["macs"] = sum(layer["macs"] for layer in row["octet"])
        profile = {"cpu": "any", "peak": {"I8": {"gmac_per_s": 200.0, "instructions": "x"}}}
        text = layers.markdown("net", profile, rows, argparse.Namespace(threads=1, min_share=1.0))
        self.assertIn("| 2.00 | 100 | 50 | 200 | 100 |", text)
        self.assertIn("| 1 shorter rows |", text)
        self.assertIn("| **all** | | | 10.000 | 5.000 |", text)


if __name__ == "__main__":
    unittest.main()
