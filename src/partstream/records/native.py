"""aiokafka's C codec, bound once and by its own module's name.

Neither aiokafka's pure Python twins, nor a module that later takes the name aiokafka, can stand in
for it unnoticed: the twins are ten times slower.
"""

from __future__ import annotations

try:
    from aiokafka.errors import KafkaError
    from aiokafka.record._crecords.cutil import crc32c_cython as crc32c_software
    from aiokafka.record._crecords.default_records import (
        DefaultRecordBatch,
        DefaultRecordBatchBuilder,
    )
except ImportError as error:
    raise ImportError(
        "partstream needs aiokafka and its C extension (aiokafka.record._crecords), which this"
        " installation lacks: install a wheel of aiokafka, or build it with a C compiler"
    ) from error

__all__ = ["DefaultRecordBatch", "DefaultRecordBatchBuilder", "KafkaError", "crc32c_software"]
