"""Reads a handwritten digit: classify.py libdigits.so IMAGES.npy INDEX. Prints its class, and the bits of what the model says."""
import ctypes
import sys

import numpy as np

library, images, index = sys.argv[1:]
model = ctypes.CDLL(library)
pointers = lambda *arrays: (ctypes.c_void_p * len(arrays))(*(array.ctypes.data for array in arrays))

# Words of the description: version and size, four strings, CPU features, then the size of the workspace.
model.digits_info.restype = ctypes.POINTER(ctypes.c_uint64)
workspace_bytes = model.digits_info()[6]
memory = np.empty(workspace_bytes + 64, np.uint8)
workspace = memory[-memory.ctypes.data % 64 :]

image = np.ascontiguousarray(np.load(images)[int(index)], np.float32)
logits = np.empty(10, np.float32)
status = model.digits_infer(pointers(image), pointers(logits), ctypes.c_void_p(workspace.ctypes.data), None)
if status != 0:
    sys.exit(f"classify: status {status}; digits.h says what it means")
print("class", logits.argmax())
print("bits", *(f"{bits:08x}" for bits in logits.view(np.uint32)))
