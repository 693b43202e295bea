"""Short hashes that change when data change, for `Source.fingerprint`; cheap enough for files of any size."""

from scenewise.run_record import of_file, of_values

__all__ = ["of_file", "of_values"]
