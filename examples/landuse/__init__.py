"""Land use from satellite imagery: a dataflow of real commands and functions over tiles of the world."""
