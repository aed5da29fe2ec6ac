// DataflowTesting
