"""Reads JSON files that may be damaged, hostile or enormous: a value, or one clear error."""

import json
import math
from pathlib import Path
from typing import Any

from genret.errors import GenretError
from genret.typing import PathLike

MAX_BYTES = 1 << 30
"""Largest JSON file that is read where the caller sets no limit."""


def read_json(file: PathLike, *, max_bytes: int = MAX_BYTES) -> Any:
    """Read a JSON file.

    Unlike ``json.load`` this refuses keys that occur twice, numbers that do not fit (``NaN``,
    ``Infinity``, ``1e999``, integers of thousands of digits) and nesting too deep to read.

    Args:
      file: the file.
      max_bytes: the largest file that is read.

    Returns:
      The value.

    Raises:
      GenretError: the file cannot be read, is too large, or is not such JSON.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "a.json")
    ...     _ = file.write_text('{"levels": 3}')
    ...     read_json(file)
    {'levels': 3}
    """
    file = Path(file)
    try:
        if file.exists() and not file.is_file():  # a pipe would be waited for
            raise ValueError("is no regular file")
        with file.open("rb") as stream:
            raw = stream.read(max_bytes + 1)
    except (OSError, ValueError) as e:  # ValueError: a null character in the name
        raise GenretError(f"{file}: cannot be read: {getattr(e, 'strerror', None) or e}") from e
    if len(raw) > max_bytes:
        raise GenretError(f"{file}: found more than {max_bytes:,} bytes, expected a smaller file")
    return parse_json(raw, str(file))


def parse_json(raw: bytes, where: str) -> Any:
    """Parse the bytes of a JSON document as :func:`read_json` does.

    Args:
      raw: the document, UTF-8 with or without a byte-order mark.
      where: what to name in errors.

    Raises:
      GenretError: not such JSON.

    >>> parse_json(b'{"seed": 1, "seed": 2}', "manifest.json")
    Traceback (most recent call last):
    ...
    genret.errors.GenretError: manifest.json: not valid JSON: the key 'seed' occurs twice in one object
    """
    try:
        return json.loads(
            raw.decode("utf-8-sig"),
            object_pairs_hook=_object,
            parse_float=_float,
            parse_constant=_constant,
        )
    except RecursionError:
        raise GenretError(f"{where}: not valid JSON: nested too deeply") from None
    except UnicodeDecodeError as e:
        raise GenretError(f"{where}: not valid JSON: not UTF-8 (byte {e.start})") from None
    except json.JSONDecodeError as e:
        reason = f"{e.msg} (line {e.lineno}, column {e.colno})"
        raise GenretError(f"{where}: not valid JSON: {reason}") from None
    except ValueError as e:
        reason = "an integer of thousands of digits" if "digits" in str(e) else str(e)
        raise GenretError(f"{where}: not valid JSON: {reason}") from None


def encode_json(value: Any) -> bytes:
    """Return a JSON document as people read it, in UTF-8; names that are no UTF-8 are escaped.

    >>> print(encode_json({"title": "Café"}).decode(), end="")
    {
     "title": "Café"
    }
    """
    try:
        return (json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()
    except UnicodeEncodeError:
        return (json.dumps(value, indent=1, allow_nan=False) + "\n").encode()


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise ValueError(f"the key {key[:80]!r} occurs twice in one object")
            seen.add(key)
    return found


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text[:40]} is too large")
    return value


def _constant(text: str) -> float:
    raise ValueError(f"found {text}, expected a finite number")
