"""Arrow has several layouts for one kind of value; here each becomes its plain one.

Views, dictionaries, run-end encodings and extension types say how values are stored, which is
nothing that ingestion is about: text becomes ``string`` or ``large_string``, lists ``list`` or
``large_list``, UUIDs their text, other extension types what they are stored as.
"""

import uuid
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from genret.errors import GenretError


def plain_type(kind: pa.DataType) -> pa.DataType:
    """Return the plain type of values of a type.

    >>> str(plain_type(pa.dictionary(pa.int8(), pa.string_view())))
    'large_string'
    """
    types = pa.types
    if types.is_dictionary(kind) or types.is_run_end_encoded(kind):
        return plain_type(kind.value_type)
    if isinstance(kind, pa.BaseExtensionType):
        return pa.string() if _is_uuid(kind) else plain_type(kind.storage_type)
    if _is_view(kind, "is_string_view"):
        return pa.large_string()
    if _is_view(kind, "is_binary_view"):
        return pa.large_binary()
    if types.is_float16(kind):
        return pa.float32()
    if types.is_struct(kind):
        return pa.struct([pa.field(f.name, plain_type(f.type)) for f in kind])
    if types.is_map(kind):
        return kind
    if types.is_list(kind):
        return pa.list_(plain_type(kind.value_type))
    if hasattr(kind, "value_type"):  # large, fixed-size and views
        return pa.large_list(plain_type(kind.value_type))
    return kind


def plain_schema(schema: pa.Schema) -> pa.Schema:
    """Return a schema whose types are plain."""
    return pa.schema([pa.field(f.name, plain_type(f.type)) for f in schema])


def plain_batch(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return a batch whose columns have plain types.

    >>> view = pa.array(["a", None]).cast(pa.string_view())
    >>> plain_batch(pa.record_batch({"x": view})).column("x").to_pylist()
    ['a', None]
    """
    schema = plain_schema(batch.schema)
    if schema.equals(batch.schema):
        return batch
    columns = [
        plain_array(column, field.type) for column, field in zip(batch.columns, schema, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def plain_array(column: pa.Array, target: pa.DataType) -> pa.Array:
    """Return a column as its plain type."""
    kind = column.type
    if kind.equals(target):
        return column
    if isinstance(kind, pa.BaseExtensionType):
        storage = column.storage
        return _uuid_texts(storage) if _is_uuid(kind) else plain_array(storage, target)
    if pa.types.is_dictionary(kind):
        values = plain_array(column.dictionary, target)
        return pa.DictionaryArray.from_arrays(column.indices, values).dictionary_decode()
    if pa.types.is_run_end_encoded(kind):
        return plain_array(pc.run_end_decode(column), target)
    try:
        return column.cast(target)
    except pa.ArrowNotImplementedError:
        # No cast between some nested layouts: by way of Python.
        return pa.array(column.to_pylist(), target)


def id_texts(column: pa.Array, where: str) -> pa.Array:
    """Return distinct ids as text.

    Args:
      column: distinct values without nulls, of a plain type.
      where: file and column, for errors.

    Raises:
      GenretError: a type that is no id, or a number that is not whole.

    >>> id_texts(pa.array([1.0, 2.0]), "here").to_pylist()
    ['1', '2']
    """
    kind = column.type
    types = pa.types
    if types.is_string(kind) or types.is_large_string(kind):
        return column.cast(pa.large_string())
    if types.is_integer(kind):
        return column.cast(pa.string()).cast(pa.large_string())
    if types.is_decimal(kind) or types.is_floating(kind):
        return _whole_numbers(column, where)
    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind):
        try:
            return column.cast(pa.large_binary()).cast(pa.large_string())
        except pa.ArrowInvalid as e:
            raise GenretError(f"{where}: found bytes that are no UTF-8, expected text ids") from e
    raise GenretError(f"{where}: found {kind}, expected strings or whole numbers")


def is_text_like(kind: pa.DataType) -> bool:
    """Say whether ids of a plain type are strings by declaration."""
    types = pa.types
    return bool(
        types.is_string(kind)
        or types.is_large_string(kind)
        or types.is_binary(kind)
        or types.is_large_binary(kind)
        or types.is_fixed_size_binary(kind)
    )


def _whole_numbers(column: pa.Array, where: str) -> pa.Array:
    if pa.types.is_floating(column.type):
        column = column.cast(pa.float64())
        exact = pc.less_equal(pc.abs(column), pa.scalar(2.0**53))
        good = pc.and_(pc.equal(pc.round(column), column), exact)
    else:
        good = pc.equal(pc.round(column), column)
    if not pc.all(good).as_py() and len(column):
        example = column.filter(pc.invert(good))[0].as_py()
        raise GenretError(
            f"{where}: found {column.type} with {example}, expected strings or whole numbers"
            + (" of at most 2**53" if pa.types.is_floating(column.type) else "")
        )
    texts = [str(int(v)) for v in column.to_pylist()]
    return pa.array(texts, pa.large_string())


def _uuid_texts(storage: pa.Array) -> pa.Array:
    distinct = storage.dictionary_encode()
    texts = [str(uuid.UUID(bytes=v)) for v in distinct.dictionary.to_pylist()]
    return pa.array(texts, pa.string()).take(distinct.indices)


def _is_uuid(kind: Any) -> bool:
    return getattr(kind, "extension_name", "") == "arrow.uuid"


def _is_view(kind: pa.DataType, test: str) -> bool:
    return bool(getattr(pa.types, test, lambda _: False)(kind))  # younger than our floor
