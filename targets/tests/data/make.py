"""Makes every small model of this folder and material/models/trivial.onnx.

    python3 -m venv /tmp/onnx && /tmp/onnx/bin/pip install onnx==1.23.2
    /tmp/onnx/bin/python targets/tests/data/make.py

The files are committed, so that neither building nor testing needs Python; run this only to change them.
"""

from pathlib import Path

import onnx
from onnx import TensorProto as T
from onnx import helper as h

HERE = Path(__file__).resolve().parent
MODELS = HERE.parents[2] / "material" / "models"


def value(name, element, shape):
    return h.make_tensor_value_info(name, element, shape)


def save(path, nodes, inputs, outputs, constants=(), extra_domains=(), opset=13):
    graph = h.make_graph(nodes, path.stem, inputs, outputs, constants)
    imports = [h.make_opsetid("", opset)] + [h.make_opsetid(domain, 1) for domain in extra_domains]
    model = h.make_model(graph, producer_name="skein", opset_imports=imports, ir_version=8)
    path.write_bytes(model.SerializeToString())


# y = x + 1: as little work as a model can have, so that what is measured around it is the rest.
one = h.make_tensor("one", T.FLOAT, [1], [1.0])
add_one = h.make_node("Add", ["x", "one"], ["y"], name="add_one")
save(MODELS / "trivial.onnx", [add_one], [value("x", T.FLOAT, [1, 4])], [value("y", T.FLOAT, [1, 4])], [one])
save(HERE / "dynamic-batch.onnx", [add_one], [value("x", T.FLOAT, ["batch", 4])], [value("y", T.FLOAT, ["batch", 4])], [one])
save(HERE / "dynamic-length.onnx", [add_one], [value("x", T.FLOAT, ["batch", "length"])], [value("y", T.FLOAT, ["batch", "length"])], [one])
save(HERE / "unknown-rank.onnx", [add_one], [value("x", T.FLOAT, None)], [value("y", T.FLOAT, None)], [one])

# One model for each type of element: the input doubled, or for truth values turned over.
for name, element in [("u8", T.UINT8), ("i32", T.INT32), ("i64", T.INT64), ("f16", T.FLOAT16), ("f64", T.DOUBLE)]:
    double = h.make_node("Add", ["x", "x"], ["y"], name="double")
    opset = 14 if name == "u8" else 13  # the first that adds bytes
    save(HERE / f"double-{name}.onnx", [double], [value("x", element, [3])], [value("y", element, [3])], opset=opset)
turn = h.make_node("Not", ["x"], ["y"], name="turn")
save(HERE / "not-bool.onnx", [turn], [value("x", T.BOOL, [3])], [value("y", T.BOOL, [3])])

# The mean of each channel of an 8x8 picture: "classes" red, green and blue, in both layouts.
flatten = h.make_node("Flatten", ["pooled"], ["y"], name="flatten")
pool = h.make_node("GlobalAveragePool", ["x"], ["pooled"], name="pool")
save(HERE / "colour-nchw.onnx", [pool, flatten], [value("x", T.FLOAT, ["batch", 3, 8, 8])], [value("y", T.FLOAT, ["batch", 3])])
mean = h.make_node("ReduceMean", ["x"], ["y"], name="mean", axes=[1, 2], keepdims=0)
save(HERE / "colour-nhwc.onnx", [mean], [value("x", T.FLOAT, [1, 8, 8, 3])], [value("y", T.FLOAT, [1, 3])])

# The square root of what comes in: negative numbers give scores that are not numbers.
root = h.make_node("Sqrt", ["x"], ["y"], name="root")
save(HERE / "root.onnx", [root], [value("x", T.FLOAT, [1, 3])], [value("y", T.FLOAT, [1, 3])])

# A recurrent model: its state begins anew with each task, whatever ran before.
lstm = h.make_node("LSTM", ["x", "w", "r"], ["y"], name="recur", hidden_size=1)
gates = [h.make_tensor("w", T.FLOAT, [1, 4, 1], [0.5, 0.4, 0.3, 0.2]), h.make_tensor("r", T.FLOAT, [1, 4, 1], [0.9, 0.8, 0.7, 0.6])]
save(HERE / "recurrent.onnx", [lstm], [value("x", T.FLOAT, [3, 1, 1])], [value("y", T.FLOAT, [3, 1, 1, 1])], gates)

# What a target must refuse.
det = h.make_node("Det", ["x"], ["d"], name="determinant")
fancy = h.make_node("Fancy", ["d"], ["y"], name="fancy", domain="com.example")
square = value("x", T.FLOAT, [2, 2])
save(HERE / "unsupported-operator.onnx", [det, fancy], [square], [value("y", T.FLOAT, [])], extra_domains=["com.example"])
only = h.make_node("Det", ["x"], ["y"], name="determinant")
save(HERE / "determinant.onnx", [only], [square], [value("y", T.FLOAT, [])])
relu = h.make_node("Relu", ["x"], ["y"], name="not_the_usual", domain="com.example")
save(HERE / "foreign-domain.onnx", [relu], [square], [value("y", T.FLOAT, [2, 2])], extra_domains=["com.example"])
add = h.make_node("Add", ["a", "b"], ["y"], name="add")
save(HERE / "two-inputs.onnx", [add], [value("a", T.FLOAT, [2]), value("b", T.FLOAT, [2])], [value("y", T.FLOAT, [2])])
text = h.make_node("Identity", ["x"], ["y"], name="same")
save(HERE / "text-input.onnx", [text], [value("x", T.STRING, [1])], [value("y", T.STRING, [1])])
repeats = h.make_tensor("repeats", T.INT64, [2], [1, 3 * 2**20])
tile = h.make_node("Tile", ["x", "repeats"], ["y"])
save(HERE / "long-answer.onnx", [tile], [value("x", T.FLOAT, [1, 4])], [value("y", T.FLOAT, [1, 12 * 2**20])], [repeats])
save(HERE / "huge-input.onnx", [add_one], [value("x", T.FLOAT, [1, 2**40])], [value("y", T.FLOAT, [1, 2**40])], [one])
mismatch = h.make_node("MatMul", ["x", "w"], ["y"], name="multiply")
weights = h.make_tensor("w", T.FLOAT, [3, 2], [0.0] * 6)
save(HERE / "wrong-shapes.onnx", [mismatch], [square], [value("y", T.FLOAT, [2, 2])], [weights])
missing = h.make_tensor("one", T.FLOAT, [1], [1.0])
missing.ClearField("float_data")
missing.data_location = T.EXTERNAL
missing.external_data.add(key="location", value="elsewhere.bin")
save(HERE / "external-weights.onnx", [add_one], [value("x", T.FLOAT, [1, 4])], [value("y", T.FLOAT, [1, 4])], [missing])

for path in sorted([*HERE.glob("*.onnx"), MODELS / "trivial.onnx"]):
    print(f"{path.stat().st_size:6} {path.name}")
