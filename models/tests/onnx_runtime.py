"""Checks an ONNX file and runs it: onnx_runtime.py MODEL FEATURES OUTPUT (raw little-endian float32 files)."""

import sys

import numpy as np
import onnx
import onnxruntime

path, features, output = sys.argv[1:]
onnx.checker.check_model(path, full_check=True)
session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
(model_input,) = session.get_inputs()
values = np.fromfile(features, "<f4").reshape(-1, *model_input.shape[1:])
(result,) = session.run(None, {model_input.name: values})
result.astype("<f4").tofile(output)
