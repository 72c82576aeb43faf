"""The user's weights: read safely, written whole, with a record of what is known of them beside the file."""

from ebbing.checkpoints.parts import digest_of, parts_of
from ebbing.checkpoints.reading import check_safetensors, read_weights
from ebbing.checkpoints.record import SCHEMA, WeightsRecord, read_record, record_path, write_record
from ebbing.checkpoints.tensors import tensors_of
from ebbing.checkpoints.writing import write_weights

__all__ = [
    "SCHEMA",
    "WeightsRecord",
    "check_safetensors",
    "digest_of",
    "parts_of",
    "read_record",
    "read_weights",
    "record_path",
    "tensors_of",
    "write_record",
    "write_weights",
]
