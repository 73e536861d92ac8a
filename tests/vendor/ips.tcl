# The IPs that the scripts use: parameters with their legal values, pins, interfaces. After
# AMD's product guides, named at each; the pages were not at hand for what says "from memory".
#
#   param <name> <default> <legal>    default ? : not known to us, and the design depends on it,
#                                     so a script has to state it
#   pin <name> <I|O> <clk|rst|other>
#   interface <name> <master|slave> <type> ?key value ...?
#       width, clock, reset (pins), space (address space of a master),
#       segment (name and bytes behind a slave), open 1 (may stay unconnected)

proc v::ip {vlnv guide parameters body} {
  variable ips
  dict set ips $vlnv [list guide $guide parameters $parameters body $body]
}

# PG021 7.1, "Field Descriptions" (checked): 26 bits of length at most, the stream no wider than
# the memory side. Pin and parameter names: PG021, port descriptions, from memory.
v::ip xilinx.com:ip:axi_dma:7.1 PG021 {
  c_include_sg 1 {0 1}
  c_sg_include_stscntrl_strm 1 {0 1}
  c_sg_length_width 14 {8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26}
  c_include_mm2s ? {0 1}
  c_include_s2mm ? {0 1}
  c_include_mm2s_dre ? {0 1}
  c_include_s2mm_dre ? {0 1}
  c_addr_width 32 {32 40 64}
  c_m_axi_mm2s_data_width 32 {32 64 128 256 512 1024}
  c_m_axi_s2mm_data_width 32 {32 64 128 256 512 1024}
  c_m_axis_mm2s_tdata_width 32 {8 16 32 64 128 256 512 1024}
  c_s_axis_s2mm_tdata_width 32 {8 16 32 64 128 256 512 1024}
} {
  pin s_axi_lite_aclk I clk
  pin axi_resetn I rst
  interface S_AXI_LITE slave aximm width 32 clock s_axi_lite_aclk reset axi_resetn segment {Reg 65536}
  if {$c_include_sg} {
    pin m_axi_sg_aclk I clk
    interface M_AXI_SG master aximm width 32 clock m_axi_sg_aclk reset axi_resetn space Data_SG
    if {$c_sg_include_stscntrl_strm} {
      interface M_AXIS_CNTRL master axis width 32 clock m_axi_sg_aclk reset axi_resetn
      interface S_AXIS_STS slave axis width 32 clock m_axi_sg_aclk reset axi_resetn
    }
  }
  if {$c_include_mm2s ne "0"} {
    pin m_axi_mm2s_aclk I clk
    pin mm2s_prmry_reset_out_n O rst
    pin mm2s_introut O other
    interface M_AXI_MM2S master aximm width $c_m_axi_mm2s_data_width clock m_axi_mm2s_aclk reset axi_resetn space Data_MM2S
    interface M_AXIS_MM2S master axis width $c_m_axis_mm2s_tdata_width clock m_axi_mm2s_aclk reset axi_resetn
  }
  if {$c_include_s2mm ne "0"} {
    pin m_axi_s2mm_aclk I clk
    pin s2mm_prmry_reset_out_n O rst
    pin s2mm_introut O other
    interface M_AXI_S2MM master aximm width $c_m_axi_s2mm_data_width clock m_axi_s2mm_aclk reset axi_resetn space Data_S2MM
    interface S_AXIS_S2MM slave axis width $c_s_axis_s2mm_tdata_width clock m_axi_s2mm_aclk reset axi_resetn
  }
}

# PG247, from memory: 1 to 16 of each side, one clock unless told otherwise; widths, protocols
# and address widths adapt.
v::ip xilinx.com:ip:smartconnect:1.0 PG247 {
  NUM_SI ? {1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16}
  NUM_MI ? {1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16}
  NUM_CLKS 1 {1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16}
} {
  pin aclk I clk
  pin aresetn I rst
  foreach side {S M} mode {slave master} count [list $NUM_SI $NUM_MI] {
    for {set i 0} {$count ne "?" && $i < $count} {incr i} {
      interface [format %s%02d_AXI $side $i] $mode aximm clock aclk reset aresetn
    }
  }
}

# PG164, from memory: aux_reset_in, mb_debug_sys_rst and dcm_locked have idle values of their own.
v::ip xilinx.com:ip:proc_sys_reset:5.0 PG164 {
  C_EXT_RESET_HIGH 0 {0 1}
} {
  pin slowest_sync_clk I clk
  pin ext_reset_in I rst
  pin aux_reset_in I rst
  pin mb_debug_sys_rst I rst
  pin dcm_locked I other
  pin mb_reset O rst
  pin bus_struct_reset O rst
  pin peripheral_reset O rst
  pin interconnect_aresetn O rst
  pin peripheral_aresetn O rst
}

# PG082, from memory; parameters as PYNQ's hardware project of the PYNQ-Z2 names them (checked).
v::ip xilinx.com:ip:processing_system7:5.5 PG082 {
  PCW_CRYSTAL_PERIPHERAL_FREQMHZ 33.333333 {number}
  PCW_UIPARAM_DDR_PARTNO {MT41J256M8 HX-15E} {text}
  PCW_UIPARAM_DDR_BUS_WIDTH {32 Bit} {{16 Bit} {32 Bit}}
  PCW_USE_M_AXI_GP0 ? {0 1}
  PCW_USE_S_AXI_HP0 0 {0 1}
  PCW_S_AXI_HP0_DATA_WIDTH ? {32 64}
  PCW_EN_CLK0_PORT ? {0 1}
  PCW_EN_RST0_PORT ? {0 1}
  PCW_FPGA0_PERIPHERAL_FREQMHZ 50 {number}
} {
  interface DDR master ddr
  interface FIXED_IO master fixed_io
  interface USBIND_0 master usb open 1
  if {$PCW_EN_CLK0_PORT eq "1"} {
    pin FCLK_CLK0 O clk
  }
  if {$PCW_EN_RST0_PORT eq "1"} {
    pin FCLK_RESET0_N O rst
  }
  if {$PCW_USE_M_AXI_GP0 eq "1"} {
    pin M_AXI_GP0_ACLK I clk
    interface M_AXI_GP0 master aximm width 32 clock M_AXI_GP0_ACLK space Data window {0x40000000 0x40000000}
  }
  if {$PCW_USE_S_AXI_HP0 eq "1"} {
    # two chips of 4 Gbit on 16 bits are one of 512 MB; the memory that is not known is 1 GB here
    set bytes [expr {$PCW_UIPARAM_DDR_PARTNO eq "MT41J256M16 RE-125" && $PCW_UIPARAM_DDR_BUS_WIDTH eq "16 Bit" ? 0x20000000 : 0x40000000}]
    pin S_AXI_HP0_ACLK I clk
    interface S_AXI_HP0_FIFO_CTRL slave fifo_ctrl open 1
    interface S_AXI_HP0 slave aximm width $PCW_S_AXI_HP0_DATA_WIDTH clock S_AXI_HP0_ACLK segment [concat HP0_DDR_LOWOCM $bytes [v::want extra_segments]]
  }
}

# PG201, from memory; segment names as in published designs (checked): SAXIGP2/HP0_DDR_LOW,
# HP0_LPS_OCM, HP0_QSPI.
v::ip xilinx.com:ip:zynq_ultra_ps_e:3.5 PG201 {
  PSU__PSS_REF_CLK__FREQMHZ ? {number}
  PSU__USE__M_AXI_GP0 ? {0 1}
  PSU__USE__M_AXI_GP1 ? {0 1}
  PSU__USE__M_AXI_GP2 ? {0 1}
  PSU__MAXIGP0__DATA_WIDTH ? {32 64 128}
  PSU__USE__S_AXI_GP2 0 {0 1}
  PSU__SAXIGP2__DATA_WIDTH ? {32 64 128}
  PSU__FPGA_PL0_ENABLE ? {0 1}
  PSU__CRL_APB__PL0_REF_CTRL__SRCSEL ? {IOPLL RPLL DPLL}
  PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ 100 {number}
  PSU__NUM_FABRIC_RESETS ? {0 1 2 3 4}
} {
  if {$PSU__FPGA_PL0_ENABLE eq "1"} {
    pin pl_clk0 O clk
  }
  if {$PSU__NUM_FABRIC_RESETS ni {? 0}} {
    pin pl_resetn0 O rst
  }
  foreach {gp name window} {
    0 HPM0_FPD {0xA0000000 0x10000000}
    1 HPM1_FPD {0xB0000000 0x10000000}
    2 HPM0_LPD {0x80000000 0x20000000}
  } {
    if {[set PSU__USE__M_AXI_GP$gp] ne "0"} {
      set clock maxi[string tolower $name]_aclk
      pin $clock I clk
      interface M_AXI_$name master aximm width 128 clock $clock space Data window $window
    }
  }
  if {$PSU__USE__S_AXI_GP2 eq "1"} {
    pin saxihp0_fpd_aclk I clk
    interface S_AXI_HP0_FPD slave aximm width $PSU__SAXIGP2__DATA_WIDTH clock saxihp0_fpd_aclk \
      port SAXIGP2 segment {HP0_DDR_LOW 0x80000000 HP0_LPS_OCM 0x1000000 HP0_QSPI 0x20000000}
  }
}
