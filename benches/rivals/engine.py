"""Runs a model in another engine, with one thread: engine.py litert|onnxruntime MODEL ROWS.

Answers a line "ok", or the reason why it cannot. Then each line of input is a number of runs; the answer is "ok" and the
nanoseconds of each run. Inputs are random and stay the same. ROWS is the size of dimensions that the model leaves open,
the first of an input aside, which is 1.
"""

import sys
import time


def values(numpy, dims, dtype):
    random = numpy.random.default_rng(1)
    dtype = numpy.dtype(dtype)
    if dtype.kind == "f":
        return random.standard_normal(dims).astype(dtype)
    if dtype.itemsize > 2:
        return numpy.zeros(dims, dtype)  # Indices.
    info = numpy.iinfo(dtype)
    return random.integers(info.min, info.max + 1, dims).astype(dtype)


def litert(path, rows):
    import numpy
    from ai_edge_litert.interpreter import Interpreter

    model = Interpreter(path, num_threads=1)
    model.allocate_tensors()
    for given in model.get_input_details():
        model.set_tensor(given["index"], values(numpy, given["shape"], given["dtype"]))
    return model.invoke


def onnxruntime(path, rows):
    import numpy
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    types = {"float": "float32", "double": "float64", "float16": "float16"}
    feeds = {}
    for given in session.get_inputs():
        sizes = [dim if isinstance(dim, int) else (rows if axis else 1) for axis, dim in enumerate(given.shape)]
        name = given.type.removeprefix("tensor(").removesuffix(")")
        feeds[given.name] = values(numpy, sizes, types.get(name, name))
    return lambda: session.run(None, feeds)


def main():
    engine, path, rows = sys.argv[1:]
    try:
        run = {"litert": litert, "onnxruntime": onnxruntime}[engine](path, int(rows))
        run()
    except Exception as error:  # Whatever it is, it is the answer.
        print(f"{type(error).__name__}: {error}".replace("\n", " "), flush=True)
        return
    print("ok", flush=True)
    for line in sys.stdin:
        times = []
        for _ in range(int(line)):
            start = time.perf_counter_ns()
            run()
            times.append(time.perf_counter_ns() - start)
        print("ok", *times, flush=True)


main()
