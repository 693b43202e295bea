"""File formats that several readers share: records, archives, indices, arrays. They know no data set."""
