# What must hold before anything is delivered, and the figures that go with it.

proc check_run {run step} {
  set status [get_property STATUS [get_runs $run]]
  if {![string match "$step Complete*" $status]} {
    set log [file join [get_property DIRECTORY [get_runs $run]] runme.log]
    fail $run "Vivado ended it with '$status'" "The reason is in $log"
  }
  if {[get_property NEEDS_REFRESH [get_runs $run]]} {
    fail $run "its inputs changed while it ran" "Run make again"
  }
}

# Warnings that mean a chip other than the one described: a memory file that was not found,
# a net with two drivers, a module without contents.
proc check_log {run} {
  set log [file join [get_property DIRECTORY [get_runs $run]] runme.log]
  foreach line [split [read_text $log] \n] {
    if {[regexp {^(ERROR|CRITICAL WARNING): \[(Synth 8-4445|Synth 8-6858|Synth 8-6859|Synth 8-3352|Project 1-486)\]} $line]} {
      fail $run $line "Report this, with the version of Vivado"
    }
  }
}

proc check_netlist {} {
  global reports
  set empty [get_cells -quiet -hierarchical -filter {IS_BLACKBOX == 1}]
  if {[llength $empty]} {
    fail [lindex $empty 0] "the module has no contents" "Report this, with the version of Vivado"
  }
  report_route_status -file [file join $reports route_status.txt]
  if {![report_route_status -boolean_check ROUTED_FULLY]} {
    fail "routing" "not every net is routed" "Choose a smaller folding; work/reports/route_status.txt has the nets"
  }
  if {[report_route_status -boolean_check ERRORS_IN_ROUTES]} {
    fail "routing" "nets are in conflict" "Choose a smaller folding; work/reports/route_status.txt has the nets"
  }
  report_drc -file [file join $reports drc.txt]
  set broken [get_drc_violations -quiet -filter {SEVERITY == Error || SEVERITY == "Critical Warning"}]
  if {[llength $broken]} {
    fail "design rules" "[llength $broken] are violated, first [lindex $broken 0]" "work/reports/drc.txt has them"
  }
}

# The stage that a pin lies in: its name and its layer, or nothing outside of the core. Instances
# are u_<stage>, fifo_<stage>_in and, from Vitis, <stage>_<what it does there>_U0.
proc stage_of {pin} {
  global stages
  set core [string first /u_core/ $pin]
  if {$core < 0} {
    return
  }
  foreach part [split [string range $pin $core end] /] {
    regsub {^(u|fifo)_} $part {} part
    while {![dict exists $stages $part] && [regsub {_[^_]*$} $part {} part]} {}
    if {[dict exists $stages $part]} {
      set layer [dict get $stages $part]
      return [expr {$layer eq "" ? "stage $part" : "stage $part (layer $layer)"}]
    }
  }
}

proc place_of {path} {
  set pins [list [get_property ENDPOINT_PIN $path] [get_property STARTPOINT_PIN $path]]
  foreach pin $pins {
    set stage [stage_of $pin]
    if {$stage ne ""} {
      return "in $stage, to $pin"
    }
  }
  return "outside of the network's stages, to [lindex $pins 0]"
}

# The highest clock in MHz that the processing system can make and that the path would meet.
proc passing_clock {needed_ns} {
  global clock_source_mhz
  set divisor [expr {ceil($clock_source_mhz * $needed_ns / 1000.0)}]
  return [format %.3f [expr {floor(1000.0 * $clock_source_mhz / $divisor) / 1000.0}]]
}

# Slack and period of the routed design: a dict of wns_ns, whs_ns, clock_mhz.
proc check_timing_met {} {
  global reports
  report_timing_summary -file [file join $reports timing_summary.txt]
  set setup [lindex [get_timing_paths -setup -max_paths 1] 0]
  set hold [lindex [get_timing_paths -hold -max_paths 1] 0]
  if {$setup eq "" || $hold eq ""} {
    fail "timing" "no path was analysed, so the clock did not reach the design" "work/reports/timing_summary.txt has the clocks"
  }
  set wns [get_property SLACK $setup]
  set whs [get_property SLACK $hold]
  set period [get_property PERIOD [get_clocks [get_property ENDPOINT_CLOCK $setup]]]
  set clock [format %.3f [expr {1000.0 / $period}]]
  if {![string is double -strict $wns] || ![string is double -strict $whs]} {
    fail "timing" "a slack of '$wns' (setup) and '$whs' (hold) is no number" "work/reports/timing_summary.txt has the paths"
  }
  if {$wns < 0} {
    fail "timing" "at $clock MHz the slowest path misses by [expr {-$wns}] ns; it lies [place_of $setup]" \
      "Build with --clock [passing_clock [expr {$period - $wns}]], or give that layer a smaller folding"
  }
  if {$whs < 0} {
    fail "timing" "a path holds its value [expr {-$whs}] ns too short; it lies [place_of $hold]" \
      "No clock mends this: run make again with another Vivado version, or a smaller folding"
  }
  if {[string first "All user specified timing constraints are met." [read_text [file join $reports timing_summary.txt]]] < 0} {
    fail "timing" "slacks are positive, but Vivado does not say that all constraints are met" "work/reports/timing_summary.txt says which are not"
  }
  return [dict create wns_ns [format %.3f $wns] whs_ns [format %.3f $whs] clock_mhz $clock]
}

# The numbers of one row of a utilisation report; 0 where the device has no such resource.
proc used {report rows optional} {
  if {[regexp -line "^\\|\\s*(?:$rows)\\*?\\s*\\|\\s*(\[\\d.\]+)\\s*\\|" $report all number]} {
    return $number
  }
  if {$optional} {
    return 0
  }
  fail "utilisation" "the report has no row for $rows" "work/reports/utilisation.txt is the report"
}

proc utilisation {} {
  global reports
  report_utilization -file [file join $reports utilisation.txt]
  set report [read_text [file join $reports utilisation.txt]]
  return [dict create \
    lut [used $report {Slice LUTs|CLB LUTs} 0] \
    ff [used $report {Slice Registers|CLB Registers} 0] \
    bram36 [used $report {Block RAM Tile} 0] \
    uram [used $report {URAM} 1] \
    dsp [used $report {DSPs} 0] \
  ]
}

# Texts and numbers as a JSON object; no text here holds a quote or a backslash.
proc json {texts numbers} {
  foreach {key value} $texts {
    lappend lines "  \"$key\": \"$value\""
  }
  foreach {key value} $numbers {
    lappend lines "  \"$key\": $value"
  }
  return "{\n[join $lines ",\n"]\n}\n"
}

proc write_text {path text} {
  set file [open $path w]
  puts -nonewline $file $text
  close $file
}
