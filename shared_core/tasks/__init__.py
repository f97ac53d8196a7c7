"""Every inference task as one typed call: the table, its parameters and its results."""
