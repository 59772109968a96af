"""Reading and writing the safetensors format with numpy and torch alone.

The format is eight bytes of header length, a JSON header with type, shape and place of every tensor, and
the raw numbers; the `safetensors` library reads what is written here, and the other way round. An exported
policy must load where nothing but torch and numpy is installed, which is why the library is not used.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

_TYPES: dict[str, np.dtype[Any]] = {
    "F32": np.dtype("<f4"),
    "F64": np.dtype("<f8"),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
}
_NAMES = {dtype: name for name, dtype in _TYPES.items()}


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Writes named tensors.

    Raises:
        ValueError: A tensor's type is not among float32, float64, int64 and int32.
    """
    header: dict[str, dict[str, Any]] = {}
    parts: list[bytes] = []
    offset = 0
    for name, tensor in tensors.items():
        array = tensor.detach().cpu().contiguous().numpy()
        if array.dtype not in _NAMES:
            raise ValueError(f"The tensor {name!r} has type {array.dtype}, which cannot be exported.")
        data = array.tobytes()
        header[name] = {
            "dtype": _NAMES[array.dtype],
            "shape": list(array.shape),
            "data_offsets": [offset, offset + len(data)],
        }
        parts.append(data)
        offset += len(data)
    text = json.dumps(header).encode()
    # Readers may map the numbers into memory, which wants them aligned.
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(parts))


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Reads named tensors.

    Raises:
        ValueError: The file is damaged, or holds a type other than float32, float64, int64 and int32.
    """
    content = path.read_bytes()
    try:
        (length,) = struct.unpack_from("<Q", content)
        header = json.loads(content[8 : 8 + length])
        body = memoryview(content)[8 + length :]
        tensors = {}
        for name, entry in header.items():
            if name == "__metadata__":
                continue
            begin, end = entry["data_offsets"]
            array = np.frombuffer(body[begin:end], dtype=_TYPES[entry["dtype"]]).reshape(entry["shape"])
            tensors[name] = torch.from_numpy(array.copy())
    except (struct.error, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is not a safetensors file, or is damaged: {error}") from error
    return tensors
