import json
from pathlib import Path
from typing import Any

import pytest

from app.models.safetensors_header import NotSafetensorsError, Tensor, read_header
from tests.app.web.rig import safetensors


def _file(header: Any, data: bytes = b"\0" * 8) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def _tensor(**changes: Any) -> dict[str, Any]:
    return {"dtype": "F32", "shape": [2], "data_offsets": [0, 8], **changes}


def test_names_types_and_shapes(tmp_path: Path) -> None:
    path = tmp_path / "w"
    path.write_bytes(safetensors({"a": ("F32", [2, 3]), "b": ("F32", [])}))
    assert read_header(path) == {"a": Tensor("F32", (2, 3)), "b": Tensor("F32", ())}
    path.write_bytes(_file({"__metadata__": {"format": "pt"}, "a": _tensor()}))
    assert read_header(path) == {"a": Tensor("F32", (2,))}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "too short"),
        (b"PK\x03\x04" + b"\0" * 100, "looks like a pickle"),
        (b"\x80\x02}q\x00." + b"\0" * 100, "looks like a pickle"),
        (b"\x80\x04\x95" + b"\0" * 800, "looks like a pickle"),
        ((8_000_001).to_bytes(8, "little") + b"{" * 9_000_000, "8,000,000"),
        (_file(b"{not json}"), "not JSON"),
        (_file(b'{"a":' + b"[" * 200_000), "not JSON"),
        (_file(b'{"a": 1, "a": 2}'), "twice"),
        (_file({}, b""), "no tensor"),
        (_file({"a": 7}), "something other"),
        (_file({"a": {**_tensor(), "code": 1}}), "something other"),
        (_file({"a": _tensor(dtype="F31")}), "unknown dtype"),
        (_file({"a": _tensor(dtype=[])}), "unknown dtype"),
        (_file({"a": _tensor(shape=[-2])}), "not numbers"),
        (_file({"a": _tensor(shape=[True])}), "not numbers"),
        (_file({"a": _tensor(shape=[2**64])}), "not numbers"),
        (_file({"a": _tensor(data_offsets=[0])}), "not numbers"),
        (_file({"a": _tensor(shape=[3])}), "do not agree"),
        (_file({"a": _tensor(data_offsets=[4, 12])}, b"\0" * 12), "gap"),
        (_file({"a": _tensor(), "b": _tensor()}), "overlap"),
        (_file({"a": _tensor()}, b"\0" * 7), "cut off"),
        (_file({"a": _tensor()}, b"\0" * 9), "cut off"),
    ],
)
def test_anything_else_is_refused_with_a_sentence(tmp_path: Path, content: bytes, sentence: str) -> None:
    path = tmp_path / "w"
    path.write_bytes(content)
    with pytest.raises(NotSafetensorsError, match=sentence):
        read_header(path)
