#!/usr/bin/env python3
"""A program for the target `process:NAME`: it runs ONNX models by the Python package of ONNX Runtime.

It is an example to start from, where a device's runtime can only be reached from Python or from a process of its own. It needs
the packages `onnxruntime`, `numpy` and `cbor2`. In the settings file of each node that is to have it:

    [process.python]
    command = ["/usr/bin/python3", "/opt/skein/onnxruntime_worker.py"]

What it speaks over its standard input and output is in `docs/worker-protocol.md`. Skein turns pictures into tensors and tensors
into classes; this program sees tensors only. It ends when its input ends, and writes nothing but messages to standard output.
"""

import os
import struct
import sys
import time

import cbor2
import numpy
import onnxruntime

VERSION = 1
HEADER_BYTES_MAX = 4 << 20
PAYLOAD_BYTES_MAX = 32 << 20

# By ONNX Runtime's name: ours, and numpy's.
ELEMENTS = {
    "tensor(bool)": ("bool", "?"),
    "tensor(uint8)": ("u8", "u1"),
    "tensor(int8)": ("i8", "i1"),
    "tensor(uint16)": ("u16", "<u2"),
    "tensor(int16)": ("i16", "<i2"),
    "tensor(uint32)": ("u32", "<u4"),
    "tensor(int32)": ("i32", "<i4"),
    "tensor(uint64)": ("u64", "<u8"),
    "tensor(int64)": ("i64", "<i8"),
    "tensor(float16)": ("f16", "<f2"),
    "tensor(float)": ("f32", "<f4"),
    "tensor(double)": ("f64", "<f8"),
}
NUMPY = dict(ELEMENTS.values())
OURS = {numpy.dtype(kind): name for name, kind in NUMPY.items()}


class BrokenProtocol(Exception):
    """What came is no message, or not one that may come now."""


def exactly(source, count):
    data = source.read(count)
    if len(data) != count:
        raise BrokenProtocol("the message ends early")
    return data


def receive(source):
    """One message: its header and its payload. None at the end between two messages."""
    prefix = source.read(8)
    if not prefix:
        return None
    if len(prefix) != 8 or prefix[0] != VERSION:
        raise BrokenProtocol(f"no message of version {VERSION}")
    header_bytes = int.from_bytes(prefix[1:4], "big")
    payload_bytes = int.from_bytes(prefix[4:8], "big")
    if header_bytes > HEADER_BYTES_MAX or payload_bytes > PAYLOAD_BYTES_MAX:
        raise BrokenProtocol("a message is too long")
    header = cbor2.loads(exactly(source, header_bytes))
    return header, exactly(source, payload_bytes)


def send(out, header, payload=b""):
    header = cbor2.dumps(header)
    out.write(bytes([VERSION]) + len(header).to_bytes(3, "big") + struct.pack(">I", len(payload)))
    out.write(header)
    out.write(payload)
    out.flush()


def spec(value):
    if value.type not in ELEMENTS:
        raise ValueError(f"{value.name} is a {value.type}, which is no tensor of numbers")
    axes = [axis if isinstance(axis, int) else None for axis in value.shape]
    return {"name": value.name, "element": ELEMENTS[value.type][0], "shape": axes}


def load(order):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = order.get("place", {}).get("threads", 1)
    # Only what this process may see is a choice: see SKEIN_DEVICE and CUDA_VISIBLE_DEVICES in its environment.
    on_gpu = os.environ.get("CUDA_VISIBLE_DEVICES", "") != ""
    providers = ["CUDAExecutionProvider"] if on_gpu else ["CPUExecutionProvider"]
    return onnxruntime.InferenceSession(order["file"], options, providers=providers)


def tensors(kinds, payload):
    at = 0
    for element, shape in kinds:
        kind = numpy.dtype(NUMPY[element])
        count = int(numpy.prod(shape, dtype=numpy.int64))
        yield numpy.frombuffer(payload, kind, count, at).reshape(shape)
        at += count * kind.itemsize


def run(session, task, payload):
    """The answer's header and payload."""
    inputs = task["input"]
    if "Tensor" in inputs:
        kinds = [(inputs["Tensor"]["element"], inputs["Tensor"]["shape"])]
    else:
        kinds = inputs["Tensors"]
    names = [value.name for value in session.get_inputs()]
    begin = time.perf_counter()
    try:
        outputs = session.run(None, dict(zip(names, tensors(kinds, payload))))
        outputs = [numpy.ascontiguousarray(output) for output in outputs]
        described = [[OURS[output.dtype], list(output.shape)] for output in outputs]
        result, answer = {"Ok": {"Tensors": described}}, b"".join(output.tobytes() for output in outputs)
    except onnxruntime.capi.onnxruntime_pybind11_state.InvalidArgument as error:
        # It would fail anywhere.
        result, answer = {"Err": {"Task": str(error)}}, b""
    except Exception as error:  # Whatever it is, the next task may do better, here or elsewhere.
        result, answer = {"Err": {"Place": f"{type(error).__name__}: {error}"}}, b""
    micros = int((time.perf_counter() - begin) * 1e6)
    return {"Result": {"ticket": task["ticket"], "run_micros": micros, "result": result}}, answer


def main():
    source, out = sys.stdin.buffer, sys.stdout.buffer
    # Libraries that print would break the protocol: what is printed goes to the agent's log.
    sys.stdout = sys.stderr
    first = receive(source)
    if first is None:
        return
    try:
        session = load(first[0]["Load"])
        inputs = [spec(value) for value in session.get_inputs()]
        outputs = [spec(value) for value in session.get_outputs()]
    except Exception as error:
        send(out, {"Unusable": {"reason": f"{type(error).__name__}: {error}"}})
        return
    send(out, {"Ready": {"inputs": inputs, "outputs": outputs}})
    while (message := receive(source)) is not None:
        send(out, *run(session, message[0]["Task"], message[1]))


if __name__ == "__main__":
    main()
