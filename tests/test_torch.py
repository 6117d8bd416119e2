"""torch's CPU tensors lie in the mapped file, and come back as torch has them: types, views, parameters, modules."""

from __future__ import annotations

import pickle
import subprocess
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from memo import Cache  # noqa: E402
from memo.serializers import Cloudpickle, Pickle  # noqa: E402
from memo.testing._serializer import SerializerSuite  # noqa: E402


def kinds():
    big = torch.arange(60_000, dtype=torch.float32)
    return [
        *(
            big,
            big.double(),
            big.to(torch.bfloat16),
            big.to(torch.float16),
            big > 7,
            big.to(torch.uint8),
            torch.tensor(3.5),
        ),
        *(torch.empty(0), torch.zeros(3, 0, 2), big.reshape(200, 300).t(), big[::3], big.reshape(2, 300, 100)[:, 5:7]),
        *(torch.tensor([1 + 2j, 3]), torch.complex(big, big), big.to(torch.float8_e4m3fn)),
        *(big.to(torch.uint16), big.to(torch.uint64), big.to(torch.float8_e5m2).reshape(200, 300).t()),
        *(torch.eye(200).to_sparse(), torch.quantize_per_tensor(big, 0.1, 0, torch.quint8)),
    ]


class TestTensors(SerializerSuite):
    def make(self):
        return Pickle()

    refused = (torch.ones(3).to(torch.float8_e4m3fn).requires_grad_(),)

    def zoo(self):
        return [*kinds(), {"a": torch.ones(90_000), "b": [torch.ones(2)]}, torch.ones(9000).requires_grad_()]

    def same(self, one, other):
        if not isinstance(one, torch.Tensor):
            return super().same(one, other)
        if type(one) is not type(other) or (one.dtype, one.shape, one.layout) != (
            other.dtype,
            other.shape,
            other.layout,
        ):
            return False
        if one.layout is not torch.strided:
            return torch.equal(one.to_dense(), other.to_dense())
        if one.is_quantized:
            return torch.equal(one, other)
        same = one.detach().contiguous().view(-1).view(torch.uint8) if one.numel() else one
        its = other.detach().contiguous().view(-1).view(torch.uint8) if one.numel() else other
        return torch.equal(same, its) and one.stride() == other.stride() and one.requires_grad == other.requires_grad


class TestTensorsByCloudpickle(TestTensors):
    def make(self):
        return Cloudpickle()


def body(value, plug=Pickle):
    return bytearray(b"".join(plug().dump(value)))


@pytest.mark.parametrize("plug", [Pickle, Cloudpickle])
def test_tensors_lie_in_writable_memory_without_a_copy(plug):
    value = torch.arange(60_000.0)
    parts = plug().dump({"x": value})
    assert any(np.shares_memory(np.frombuffer(part, "u1"), value.numpy()) for part in parts), "written without a copy"
    memory = body({"x": value}, plug)
    back = plug().load(memoryview(memory))["x"]
    assert np.shares_memory(back.numpy(), np.frombuffer(memory, "u1"))
    assert back.data_ptr() % 64 == np.frombuffer(memory, "u1").ctypes.data % 64
    back[0] = 7
    assert back[0] == 7


def test_views_of_one_storage_share_it_again():
    base = torch.arange(60_000.0)
    back = Pickle().load(memoryview(body([base, base[100:200], base.view(200, 300)])))
    back[0][150] = -1
    assert back[1][50] == -1
    assert back[2][0, 150] == -1
    assert len(body([base] * 9)) < 1.1 * 4 * len(base)


def test_parameters_and_modules(tmp_path):
    def make():
        torch.manual_seed(0)
        net = torch.nn.Sequential(torch.nn.Linear(100, 200), torch.nn.ReLU(), torch.nn.Linear(200, 100))
        net[2].weight = torch.nn.Parameter(net[0].weight.detach().t())  # tied
        return net

    for _ in range(2):
        persisted = Cache(tmp_path).persist(make)
        back = persisted()
        assert type(back[0].weight) is torch.nn.Parameter
        assert back[0].weight.requires_grad
        assert torch.equal(back(torch.ones(100)), make()(torch.ones(100)))
        with torch.no_grad():
            back[0].weight[3, 4] = 55.0
        assert back[2].weight[4, 3] == 55.0, "still tied"
    assert persisted.cache_info().hits == 1


def test_a_plain_unpickler_reads_small_ones():
    data = b"".join(Pickle().dump(torch.arange(5)))
    assert data[0] == 0x80
    assert torch.equal(pickle.loads(data), torch.arange(5))


def test_torch_is_imported_by_loading(tmp_path):
    path = tmp_path / "body"
    path.write_bytes(body(torch.arange(60_000, dtype=torch.float64)))
    program = (
        "import sys; from memo.serializers import serializer; data = memoryview(bytearray(open(sys.argv[1], 'rb').read()));"
        "assert 'torch' not in sys.modules; print(float(serializer('pickle').load(data).sum()))"
    )
    shown = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, check=True).stdout
    assert float(shown) == 60_000 * 59_999 / 2
