"""Made folders: videos of any source written once, in shards, and read again bit for bit.

`writer.make` writes one split of a source below a folder, several shards at a time; `manifest` says what a folder
holds; `npy`, `hdf5` and `webdataset` write and read one shard; `check.check` looks for damage; `writers` writes the
layouts of other programs. docs/datasets.md describes the files.
"""
