#!/usr/bin/env python3
"""Train, quantize and save the small residual network of this example.

Run:
    python3 -m venv venv && . venv/bin/activate
    pip install torch nncf openvino scikit-learn numpy
    python examples/digits/train.py            # rebuilds model/ and the .npy files
    python examples/digits/train.py --check    # only measures the committed model

Versions used for the committed model (Python 3.11, CPU only):
    torch 2.15.0, nncf 3.4.0, openvino 2026.4.1, scikit-learn 1.9.1, numpy 2.4.6

All seeds are fixed and training runs on one thread, so one set of versions on
one kind of CPU gives the same network again. Other versions or another CPU may
round differently and give slightly different weights.
"""

import argparse
import logging
import random
import re
import warnings
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path

import numpy as np
import openvino as ov
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

HERE = Path(__file__).resolve().parent
XML = HERE / "model" / "digits.xml"
SEED = 20
EPOCHS = 60
BATCH = 64
SAVED = 48  # held-out digits committed next to the model
SIZE_LIMIT = 300 * 1000  # bytes, everything in this folder
ACCURACY_LIMIT = 0.97


def data():
    """Train and held-out images as f32 [n, 1, 8, 8] in 0..1, labels as i64."""
    digits = load_digits()
    # Pixels are the integers 0..16, so x/16 is exact in f32.
    images = (digits.images / 16.0).astype(np.float32)[:, None]
    labels = digits.target.astype(np.int64)
    return train_test_split(
        images, labels, test_size=0.25, random_state=SEED, stratify=labels
    )


def train(images, labels):
    import torch
    import torch.nn.functional as F
    from torch import nn

    class Block(nn.Module):
        """Two 3x3 convolutions around a shortcut (1x1 when the shape changes)."""

        def __init__(self, cin, cout, stride):
            super().__init__()
            self.conv1 = nn.Conv2d(cin, cout, 3, stride, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(cout)
            self.conv2 = nn.Conv2d(cout, cout, 3, 1, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(cout)
            self.short = nn.Identity()
            if stride != 1 or cin != cout:
                self.short = nn.Sequential(
                    nn.Conv2d(cin, cout, 1, stride, bias=False), nn.BatchNorm2d(cout)
                )

        def forward(self, x):
            y = F.relu(self.bn1(self.conv1(x)))
            y = self.bn2(self.conv2(y))
            return F.relu(y + self.short(x))

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = nn.Sequential(
                nn.Conv2d(1, 32, 3, 1, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU()
            )
            self.blocks = nn.Sequential(
                Block(32, 32, 1), Block(32, 48, 2), Block(48, 48, 1)
            )
            self.pool = nn.AdaptiveAvgPool2d(1)
            self.fc = nn.Linear(48, 10)

        def forward(self, x):
            return self.fc(self.pool(self.blocks(self.stem(x))).flatten(1))

    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    rng = np.random.default_rng(SEED)

    net = Net()
    steps = -(-len(images) // BATCH)
    opt = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=1e-2)
    sched = torch.optim.lr_scheduler.OneCycleLR(opt, 4e-3, total_steps=EPOCHS * steps)
    for epoch in range(EPOCHS):
        net.train()
        order, total = rng.permutation(len(images)), 0.0
        for i in range(0, len(order), BATCH):
            pick = order[i : i + BATCH]
            x = images[pick]
            # Augment with a shift of up to one pixel each way.
            dy, dx = rng.integers(-1, 2, size=2)
            x = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
            x = x[:, :, 1 + dy : 9 + dy, 1 + dx : 9 + dx]
            loss = F.cross_entropy(
                net(torch.from_numpy(np.ascontiguousarray(x))),
                torch.from_numpy(labels[pick]),
                label_smoothing=0.05,
            )
            opt.zero_grad()
            loss.backward()
            opt.step()
            sched.step()
            total += loss.item() * len(pick)
        if epoch % 10 == 9:
            print(f"epoch {epoch + 1:3}  loss {total / len(order):.4f}")
    return net.eval()


def to_openvino(net):
    import torch

    example = torch.zeros(1, 1, 8, 8)
    model = ov.convert_model(net, example_input=example, input=[[1, 1, 8, 8]])
    # One stable name on each end; the converter's own names follow module paths.
    model.inputs[0].get_tensor().set_names({"image"})
    model.outputs[0].get_tensor().set_names({"logits"})
    model.get_parameters()[0].set_friendly_name("image")
    model.get_results()[0].set_friendly_name("logits_result")
    return model


def quantize(model, images):
    """Post-training INT8; calibration sees training images only."""
    import nncf

    return nncf.quantize(
        model,
        nncf.Dataset([x[None] for x in images]),
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=len(images),
    )


def tidy(xml):
    """Drop rt_info (notes of the tools that no inference needs, and the place
    where they write file paths) and the running numbers in generated names,
    which would differ from one run to the next."""
    tree = ET.parse(xml)
    root = tree.getroot()
    for node in list(root.iter()):
        for child in node.findall("rt_info"):
            node.remove(child)
    root.set("name", "digits")
    for layer in root.iter("layer"):
        if re.match(r"(Constant|Convert|Multiply)_\d+\b", layer.get("name")):
            layer.set("name", f"{layer.get('type')}_{layer.get('id')}")
    names = [layer.get("name") for layer in root.iter("layer")]
    assert len(set(names)) == len(names), "layer names must be unique"
    ET.indent(tree, "\t")
    tree.write(xml, encoding="utf-8", xml_declaration=True)


def accuracy(model, images, labels):
    # Without the hint a CPU with bf16 units would use them for the float parts.
    compiled = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    out = compiled.output(0)
    logits = np.concatenate([compiled(x[None])[out] for x in images])
    return float((logits.argmax(1) == labels).mean()), logits


def reference(model, images):
    """Logits of the FakeQuantize graph computed in plain f32: the TEMPLATE
    plugin where the build has it, else the CPU plugin with INT8 kernels off."""
    core = ov.Core()
    if "TEMPLATE" in core.available_devices:
        compiled = core.compile_model(model, "TEMPLATE")
        how = "TEMPLATE plugin"
    else:
        # An internal key of the CPU plugin; with it the convolutions run in f32.
        compiled = core.compile_model(
            model, "CPU", {"LP_TRANSFORMS_MODE": False, "INFERENCE_PRECISION_HINT": "f32"}
        )
        how = "CPU plugin, low-precision transformations off"
    out = compiled.output(0)
    return np.concatenate([compiled(x[None])[out] for x in images]), how


def check(held_x, held_y):
    model = ov.Core().read_model(XML)
    acc8, logits = accuracy(model, held_x, held_y)
    print(f"int8  held-out accuracy: {acc8:.4f} ({round(acc8 * len(held_y))}/{len(held_y)})")

    saved_x = np.load(HERE / "digits_images.npy")
    saved_y = np.load(HERE / "digits_labels.npy")
    assert np.array_equal(saved_x, held_x[:SAVED])
    assert np.array_equal(saved_y, held_y[:SAVED])
    acc48, _ = accuracy(model, saved_x, saved_y)
    print(f"int8  on the {SAVED} saved digits: {acc48:.4f}")

    try:
        ref, how = reference(model, held_x)
        print(
            f"FakeQuantize graph in f32 ({how}): accuracy "
            f"{(ref.argmax(1) == held_y).mean():.4f}, largest logit difference to int8 "
            f"{np.abs(ref - logits).max():.4f}, same answer on "
            f"{(ref.argmax(1) == logits.argmax(1)).sum()}/{len(held_y)}"
        )
    except RuntimeError as e:
        print("FakeQuantize graph in f32: not available:", str(e).splitlines()[-1])

    kinds = Counter(l.get("type") for l in ET.parse(XML).getroot().iter("layer"))
    print("layers:", ", ".join(f"{k} {n}" for k, n in sorted(kinds.items())))
    total = 0
    for f in sorted(p for p in HERE.rglob("*") if p.is_file() and "__pycache__" not in p.parts):
        total += f.stat().st_size
        print(f"{f.stat().st_size:8} {f.relative_to(HERE)}")
    print(f"{total:8} in all")
    assert total <= SIZE_LIMIT, "folder too large"
    assert acc8 >= ACCURACY_LIMIT, "quantized accuracy too low"


def main():
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ap.add_argument("--check", action="store_true", help="only measure the committed model")
    args = ap.parse_args()
    random.seed(SEED)
    np.random.seed(SEED)
    train_x, held_x, train_y, held_y = data()
    print(f"{len(train_x)} training digits, {len(held_x)} held out")

    if not args.check:
        warnings.filterwarnings("ignore")
        logging.getLogger("nncf").setLevel(logging.WARNING)
        model = to_openvino(train(train_x, train_y))
        accf, _ = accuracy(model, held_x, held_y)
        print(f"float held-out accuracy: {accf:.4f} ({round(accf * len(held_y))}/{len(held_y)})")
        XML.parent.mkdir(exist_ok=True)
        ov.save_model(quantize(model, train_x), XML)
        tidy(XML)
        np.save(HERE / "digits_images.npy", held_x[:SAVED])
        np.save(HERE / "digits_labels.npy", held_y[:SAVED])

    check(held_x, held_y)


if __name__ == "__main__":
    main()
