"""What can be built: spaces of genotypes, by name. Nothing here imports torch before a network is built."""

from frugalnas.spaces.cell import CellSpace

SPACES = {"cell": CellSpace}
