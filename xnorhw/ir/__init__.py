"""Graphs, nodes, integer types and the register table.  No torch, no I/O."""
