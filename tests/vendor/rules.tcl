# What Vivado accepts in silence and what would still be a broken accelerator: our own rules, read
# after a script ended well.

proc v::rules {} {
  variable cells
  variable links
  variable nets
  variable core
  variable bd
  set broken $::v::criticals
  foreach cell [dict keys $cells] {
    lassign [v::shape $cell] pins interfaces
    foreach {name default legal} [dict get $::v::ips [dict get $cells $cell] parameters] {
      if {[v::parameter_value bd_cell:/$cell $name] eq "?"} {
        lappend broken "$cell: $name is not stated, and its default is not known"
      }
    }
    dict for {name pin} $pins {
      if {[lindex $pin 0] eq "I" && ![dict exists $nets /$cell/$name] && ![v::may_stay_open $cell $name]} {
        lappend broken "$cell/$name is not connected"
      }
    }
    dict for {name interface} $interfaces {
      if {![dict exists $links /$cell/$name]} {
        if {![dict get $interface open]} {
          lappend broken "the interface $cell/$name is not connected"
        }
      } elseif {[dict get $interface type] in {axis aximm}} {
        if {[dict get $interface clock] eq ""} {
          lappend broken "the interface $cell/$name has no clock"
        }
        lassign [split [dict get $links /$cell/$name] /] _ other port
        set peer [dict get [lindex [v::shape $other] 1] $port]
        if {[v::driver $cell [dict get $interface clock]] ne [v::driver $other [dict get $peer clock]]} {
          lappend broken "$cell/$name and $other/$port have two clocks"
        }
        if {[dict get $interface reset] eq "" && [dict get $peer reset] eq ""} {
          lappend broken "the interface $cell/$name has no reset"
        }
      }
    }
  }
  lappend broken {*}[v::clock_rules] {*}[v::dma_rules] {*}[v::address_rules] {*}[v::core_rules]
  foreach key {validated saved generated} {
    if {![dict get $bd $key]} {
      lappend broken "the block design was not $key after its last change"
    }
  }
  if {$::v::projects ne "project"} {
    lappend broken "open projects: $::v::projects"
  }
  foreach run {synth_1 impl_1} {
    if {![v::fetch run:$run WAITED 0]} {
      lappend broken "nobody waited for $run"
    }
  }
  if {[v::fetch run:impl_1 STEP] ne "route_design"} {
    lappend broken "impl_1 ran to [v::fetch run:impl_1 STEP]"
  }
  return $broken
}

proc v::driver {cell pin} {
  variable nets
  return [expr {[dict exists $nets /$cell/$pin] ? [dict get $nets /$cell/$pin] : ""}]
}

# Clocks come from clock outputs, resets from the one that is in step with the clock.
proc v::clock_rules {} {
  variable nets
  variable cells
  set broken {}
  dict for {sink driver} $nets {
    lassign [split $sink /] _ cell pin
    lassign [split $driver /] _ source output
    set wanted [lindex [dict get [lindex [v::shape $cell] 0] $pin] 1]
    set given [lindex [dict get [lindex [v::shape $source] 0] $output] 1]
    if {$wanted ne $given} {
      lappend broken "$sink ($wanted) is driven by $driver ($given)"
    }
    if {$wanted eq "rst" && $sink ne $driver && [string match *n $output] != [string match *n $pin] && $pin ne "ext_reset_in"} {
      lappend broken "$sink and $driver have opposite polarity"
    }
    if {$wanted eq "rst" && $source eq "ps" && $sink ne $driver && $pin ne "ext_reset_in"} {
      lappend broken "$sink is reset out of step with the clock"
    }
  }
  foreach {setting} [v::want clock_setting] {
    if {[v::parameter_value bd_cell:/ps $setting] != [v::want clock_mhz]} {
      lappend broken "the clock is set to [v::parameter_value bd_cell:/ps $setting] MHz, not [v::want clock_mhz]"
    }
  }
  return $broken
}

proc v::dma_rules {} {
  set broken {}
  foreach {name value} {c_include_sg 0 c_sg_length_width 26 c_include_mm2s 1 c_include_s2mm 1 c_include_mm2s_dre 0 c_include_s2mm_dre 0} {
    if {[v::parameter_value bd_cell:/dma $name] ne $value} {
      lappend broken "the DMA's $name is [v::parameter_value bd_cell:/dma $name], not $value"
    }
  }
  foreach {stream memory} {c_m_axis_mm2s_tdata_width c_m_axi_mm2s_data_width c_s_axis_s2mm_tdata_width c_m_axi_s2mm_data_width} {
    if {[v::parameter_value bd_cell:/dma $stream] != [v::parameter_value bd_cell:/dma $memory]} {
      lappend broken "the DMA's $stream and $memory differ, so the memory side limits the rate or the stream needs realignment"
    }
  }
  return $broken
}

# All of memory, from address 0, in both directions; ranges as large as the segments behind them.
proc v::address_rules {} {
  variable assigned
  set broken {}
  set segments [v::segments]
  foreach space {/dma/Data_MM2S /dma/Data_S2MM} {
    set found 0
    dict for {key place} $assigned {
      lassign $key where segment
      if {$where eq $space && [string match *DDR_LOW* $segment]} {
        set found 1
        if {[lindex $place 0] != 0 || [lindex $place 1] != [lindex [dict get $segments $segment] 0]} {
          lappend broken "$space sees memory at $place, not all of it from 0 on"
        }
      }
    }
    if {!$found} {
      lappend broken "$space sees no memory"
    }
  }
  dict for {key place} $assigned {
    if {[lindex $place 1] < [lindex [dict get $segments [lindex $key 1]] 0]} {
      lappend broken "[lindex $key 1] is larger than its range"
    }
  }
  return $broken
}

proc v::core_rules {} {
  variable core
  set broken {}
  foreach key {xgui checksums own} {
    if {![dict get $core $key]} {
      lappend broken "the IP was saved without $key"
    }
  }
  foreach key {display_name description reset} {
    if {[dict get $core $key] eq ""} {
      lappend broken "the IP has no $key"
    }
  }
  if {[dict get $core polarity] ne "ACTIVE_LOW"} {
    lappend broken "the polarity of the IP's reset is not stated"
  }
  if {[dict get $core maps] ne "s_axi" || [dict get $core map_ref] ne "s_axi" || [dict get $core blocks] eq ""
      || [dict keys [dict get $core blocks s_axi]] ne "registers"} {
    return [lappend broken "the IP has other memory maps than ours"]
  }
  set block [dict get $core blocks s_axi registers]
  foreach {key value} {usage register base_address 0 width 32 range 4096} {
    if {![dict exists $block $key] || [dict get $block $key] ne $value} {
      lappend broken "the address block has no $key $value"
    }
  }
  set registers {}
  dict for {name values} [dict get $core registers] {
    foreach key {address_offset size description} {
      if {![dict exists $values $key]} {
        lappend broken "the register $name has no $key"
      }
    }
    if {[dict exists $values address_offset]} {
      lappend registers $name [expr {[dict get $values address_offset]}]
    }
  }
  if {[lsort $registers] ne [lsort [v::want registers]]} {
    lappend broken "the IP's registers are $registers"
  }
  return $broken
}
