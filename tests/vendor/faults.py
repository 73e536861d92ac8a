"""What can go wrong in Vivado: the stand-in's scenarios and what the build has to say of each.

A name, what is other than in a good build (see harness.tcl), and a pattern of the message.
"""

from __future__ import annotations

SEVEN = (
    "| Slice LUTs             | 12345 |     0 |\n| Slice Registers        | 23456 |     0 |\n"
    "| Block RAM Tile         |  45.5 |     0 |\n| DSPs                   |     3 |     0 |"
)
"""The rows of a utilisation report of a 7 series device that the build reads."""

ULTRASCALE = SEVEN.replace("Slice", "CLB").replace(
    "| DSPs", "| URAM                   |     2 |     0 |\n| DSPs"
)

SLOW = {
    "wns": -1.9,
    "pins": [
        "accel_design_i/accel/inst/u_top/u_core/u_fc_matrix/acc_reg/C",
        "accel_design_i/accel/inst/u_top/u_core/fifo_pixel_converter_in/mem/D",
    ],
}

FAULTS: dict[str, tuple[dict[str, object], str]] = {
    "too old": ({"version": "2022.1.1"}, r"Vivado 2022\.1\.1: .* Install a newer"),
    "a strange version": ({"version": "Lab_2023"}, "in no known form"),
    "a part of another edition": ({"part_known": 0}, "xc7z020clg400-1: this edition of Vivado 2023.2 has no"),
    "no DMA in the catalog": ({"ips_missing": "xilinx.com:ip:axi_dma:7.1"}, "xilinx.com:ip:axi_dma: the IP"),
    "a stream without its interface": ({"not_inferred": "s_axis"}, "s_axis: Vivado recognised no"),
    "results without their interface": ({"not_inferred": "m_axis"}, "m_axis: Vivado recognised no"),
    "registers without their interface": ({"not_inferred": "s_axi"}, "s_axi: Vivado recognised no"),
    "a clock without its interface": ({"not_inferred": "aclk"}, "aclk: Vivado recognised no"),
    "a reset without its interface": ({"not_inferred": "aresetn"}, "aresetn: Vivado recognised no"),
    "an interface of another type": (
        {"wrongly_inferred": ["m_axis", "xilinx.com:interface:axis_rtl:1.0"]},
        "m_axis: Vivado takes the interface for",
    ),
    "an IP with one clock more": (
        {"extra_pins": "smartconnect aclk1 I clk"},
        "axi_control/aclk1: the clk pin",
    ),
    "an IP with one interface more": (
        {"extra_interfaces": "axi_dma S_AXIS_STS slave axis"},
        "dma/S_AXIS_STS: the interface is not connected",
    ),
    "a memory file that was not found": (
        {"memories_lost": 1},
        "synth_1: Vivado ended it with 'synth_design ERROR",
    ),
    "synthesis that failed": ({"synth_status": "synth_design ERROR"}, "synth_1: Vivado ended it with"),
    "synthesis that failed, told by newer releases": (
        {"synth_status": "synth_design ERROR", "raises": 1},
        r"synth_1: Vivado ended it with 'synth_design ERROR'\. The reason is in \S+/synth_1/runme\.log\.",
    ),
    "synthesis of something else": ({"synth_refresh": 1}, "synth_1: its inputs changed"),
    "two drivers": (
        {"synth_log": ["INFO: [Synth 8-1] x", "CRITICAL WARNING: [Synth 8-6859] multi-driven net on pin a"]},
        r"synth_1: CRITICAL WARNING: \[Synth 8-6859\]",
    ),
    "placement that failed": (
        {"impl_status": "place_design ERROR"},
        "impl_1: Vivado ended it with 'place_des",
    ),
    "a build that was stopped": (
        {"impl_status": "Scripts Generated"},
        "impl_1: Vivado ended it with 'Scripts",
    ),
    "placement that failed, told by newer releases": (
        {"impl_status": "place_design ERROR", "raises": 1},
        r"impl_1: Vivado ended it with 'place_design ERROR'\. The reason is in \S+/impl_1/runme\.log\.",
    ),
    "an implementation of something else": ({"impl_refresh": 1}, "impl_1: its inputs changed"),
    "a module that was not found": (
        {"impl_log": ["CRITICAL WARNING: [Project 1-486] Could not resolve non-primitive black box cell"]},
        r"impl_1: CRITICAL WARNING: \[Project 1-486\]",
    ),
    "a module without contents": ({"blackboxes": "u_core"}, "u_core: the module has no contents"),
    "a net that is not routed": ({"routed": 0}, "routing: not every net"),
    "nets in conflict": ({"route_errors": 1}, "routing: nets are in conflict"),
    "a broken design rule": (
        {"violations": ["RTSTAT-1", "Error"]},
        "design rules: 1 are violated, first RTSTAT-1",
    ),
    "a nearly broken design rule": ({"violations": ["NSTD-1", "Critical Warning"]}, "first NSTD-1"),
    "no clock": ({"paths": 0}, "timing: no path was analysed"),
    "no slack": ({"wns": "inf."}, "is no number"),
    "no hold slack": ({"whs": ""}, "is no number"),
    "a slow path": (
        SLOW,
        r"at 100\.000 MHz the slowest path misses by 1\.9 ns; it lies in stage pixel_converter "
        r"\(layer fc\).* Build with --clock 83\.333",
    ),
    "a slow path out of the core": (
        {**SLOW, "pins": ["x/u_core/u_fc_matrix/acc_reg/C", "accel_design_i/accel/inst/u_shell/fc_matrix/D"]},
        r"in stage fc_matrix \(layer fc\), to x/u_core/u_fc_matrix",
    ),
    "a slow path elsewhere": (
        {**SLOW, "pins": ["dma/a/C", "dma/fc_matrix/D"]},
        "outside of the network's stages, to dma/fc",
    ),
    "a slow path in the HLS core": (
        {**SLOW, "pins": ["dma/a/C", "i/accel/inst/u_core/u_hls/inst/fc_window_lines_U0/q/D"]},
        r"stage fc_window \(layer fc\), to",
    ),
    "a hold violation": ({"whs": -0.02, "pins": ["a/C", "b/D"]}, "holds its value 0.02 ns too short"),
    "a pulse too short": ({"met": 0}, "slacks are positive, but"),
    "no LUTs in the report": ({"utilisation": SEVEN.replace("LUTs", "Look-ups")}, "no row for Slice LUTs"),
    "no registers in the report": (
        {"utilisation": SEVEN.replace("Registers", "Flip")},
        "no row for Slice Reg",
    ),
    "no memory in the report": ({"utilisation": SEVEN.replace("Tile", "Tiles")}, "no row for Block RAM"),
    "no DSPs in the report": ({"utilisation": SEVEN.replace("DSPs", "DSP")}, "no row for DSPs"),
    "a bitstream that was not written": ({"bitstream": 0}, r"accel\.bit: the file is missing"),
    "no hwh": ({"hwh": 0}, r"accel_design\.hwh: Vivado wrote 0 of it"),
    "two hwh": ({"hwh": 2}, r"accel_design\.hwh: Vivado wrote 2 of it"),
    "a DMA that reads wider": (
        {"adjusted": "dma c_m_axi_mm2s_data_width 128"},
        "dma, c_m_axi_mm2s_data_width: Viv",
    ),
    "a DMA that writes wider": (
        {"adjusted": "dma c_m_axi_s2mm_data_width 128"},
        "dma, c_m_axi_s2mm_data_width: Viv",
    ),
    "a DMA of another stream": ({"adjusted": "dma c_m_axis_mm2s_tdata_width 32"}, r"\[BD 41-237\]"),
}

PLANTED: dict[str, tuple[str, str, str]] = {
    "a command misspelt": ("update_ip_catalog", "update_ip_catalogue", 'invalid command name "update_ip_cat'),
    "an option misspelt": ("-target_address_space", "-target_space", "Unknown option '-target_space'"),
    "a pin misspelt": ("dma/axi_resetn", "dma/axi_reset_n", "wants one object of bd_pin"),
    "an interface misspelt": ("dma/S_AXIS_S2MM", "dma/S_AXIS_S2M", "wants one object of bd_intf_pin"),
    "a parameter misspelt": (
        "CONFIG.c_include_sg",
        "CONFIG.c_inclde_sg",
        "no parameter of xilinx.com:ip:axi_dma",
    ),
    "a value out of range": (
        "length_width 26",
        "length_width 27",
        "out of the range of c_sg_length_width",
    ),
    "another width": ("mm2s_tdata_width 64", "mm2s_tdata_width 32", r"\[BD 41-237\].*32 and 64 bits"),
    "two masters": (
        "ps/M_AXI_GP0]",
        "dma/M_AXI_MM2S]",
        r"\[BD 41-1075\]|cannot be connected|connected already",
    ),
    "one interface twice": ("axi_control/M01_AXI", "axi_control/M00_AXI", "is connected already"),
    "a stream into memory": (
        "dma/M_AXIS_MM2S]",
        "dma/M_AXI_MM2S]",
        "is connected already|cannot be connected",
    ),
    "an address twice": ("-offset 0x40010000", "-offset 0x40000000", "overlaps"),
    "an address out of reach": ("-offset 0x40010000", "-offset 0x80000000", "lies outside of what"),
    "an address off its range": ("-offset 0x40010000", "-offset 0x40008000", "a multiple of it"),
    "a clock pin left open": (
        "ps/FCLK_CLK0] [get_bd_pins accel/aclk]",
        "ps/FCLK_CLK0] [get_bd_pins dma/x]",
        "wants one object of bd_pin",
    ),
    "half of memory": (
        "0x00000000 -range 0x20000000",
        "0x00000000 -range 0x10000000",
        "not all of it|is larger than",
    ),
    "a reset of the other polarity": (
        "ps_reset/peripheral_aresetn",
        "ps_reset/peripheral_reset",
        "opposite polarity",
    ),
    "a reset as a clock": (
        "ps/FCLK_CLK0] [get_bd_pins accel/aclk]",
        "ps/FCLK_RESET0_N] [get_bd_pins accel/aclk]",
        "rst",
    ),
    "a reset from the processors": (
        "[get_bd_pins ps_reset/peripheral_aresetn] [get_bd_pins accel/aresetn]",
        "[get_bd_pins ps/FCLK_RESET0_N] [get_bd_pins accel/aresetn]",
        "out of step",
    ),
    "another clock": ("FREQMHZ 100", "FREQMHZ 125", "the clock is set to 125 MHz"),
    "scatter-gather": (
        "CONFIG.c_include_sg 0",
        "CONFIG.c_include_sg 1",
        "dma/M_AXI_SG|clock pins are not conn",
    ),
    "short transfers": ("length_width 26", "length_width 23", "c_sg_length_width is 23, not 26"),
}
"""Mistakes in design.tcl: what is written, what stands there by mistake, and a pattern of what finds it."""
