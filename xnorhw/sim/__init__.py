"""Runs what was emitted: Verilator, the compiled bench, the cocotb bench."""
