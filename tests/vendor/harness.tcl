# Runs a script under the stand-in, each time in a fresh interpreter.

namespace eval harness {
  variable parts {}
  foreach part {core bd ips project ipx rules} {
    set file [open [file join [file dirname [file normalize [info script]]] $part.tcl]]
    lappend parts [read $file]
    close $file
  }
}

# Marks that deletions.tcl puts into scripts: which commands ran.
proc harness::mark {where} {
  variable marks
  dict set marks $where 1
}

# What one source defines, uses and opens; the same sources come again in every run.
proc harness::scan_text {text} {
  variable scanned
  if {![info exists scanned($text)]} {
    set bare [regsub -all -line {//.*$} $text {}]
    set found {}
    foreach pattern {{^\s*module\s+(\w+)} {^\s*((?:xh|accel)_\w+)\s*(?:#\s*\(|\w+\s*\()} {"(?:\./)?([^"/]+\.(?:mem|dat))"}} {
      set names {}
      foreach {all name} [regexp -all -inline -line $pattern $bare] {
        lappend names $name
      }
      lappend found $names
    }
    set scanned($text) $found
  }
  return $scanned($text)
}

# What a scenario leaves out: a build in which all goes well.
proc harness::defaults {} {
  return [dict create \
    version 2023.2 part_known 1 commands {wait_on_run wait_on_runs} ips_missing {} extra_segments {} \
    inference full not_inferred {} wrongly_inferred {} extra_pins {} extra_interfaces {} adjusted {} \
    raises 0 hwh 1 bitstream 1 memories_lost 0 synth_status {} synth_refresh 0 synth_log {} \
    impl_status "route_design Complete!" impl_refresh 0 impl_log {} blackboxes {} routed 1 route_errors 0 \
    violations {} paths 1 wns 0.512 whs 0.031 met 1 period 10.000 pins {a/b c/d} \
    utilisation "| Slice LUTs             | 12345 |     0 |\n| Slice Registers        | 23456 |     0 |\n| Block RAM Tile         |  45.5 |     0 |\n| DSPs                   |     3 |     0 |" \
    clock_setting {} clock_mhz 100 registers {}]
}

# Returns a dict: code (exit status), said (all that was printed), broken (rules), design (the
# record of the block design and the IP).
proc harness::run {scenario script words {texts {}}} {
  variable parts
  set child [interp create]
  foreach part $parts {
    interp eval $child $part
  }
  interp eval $child [list set ::v::scenario [dict merge [harness::defaults] $scenario]]
  interp eval $child [list set ::v::texts $texts]
  interp alias $child v::scan_text {} harness::scan_text
  interp alias $child harness_mark {} harness::mark
  interp eval $child {
    set ::v::said ""
    rename puts ::v::puts
    proc puts {args} {
      set words $args
      set newline [expr {[lindex $words 0] eq "-nonewline" ? "" : "\n"}]
      if {$newline eq ""} {
        set words [lrange $words 1 end]
      }
      if {[llength $words] == 1 || [lindex $words 0] in {stdout stderr}} {
        append ::v::said [lindex $words end] $newline
      } else {
        ::v::puts {*}$args
      }
    }
    proc v::script {path} {
      variable texts
      if {[dict exists $texts [file tail $path]]} {
        return [dict get $texts [file tail $path]]
      }
      return [v::text $path]
    }
    proc source {path} {
      set outer [info script]
      info script $path
      set code [v::script $path]
      set result [uplevel 1 $code]
      info script $outer
      return $result
    }
    proc exit {{status 0}} {
      return -code error -errorcode [list EXIT $status] "exit $status"
    }
    foreach name {wait_on_run wait_on_runs} {
      if {$name ni [v::want commands]} {
        rename $name {}
      }
    }
    set argv0 vivado
  }
  interp eval $child [list set argv $words]
  interp eval $child [list set argc [llength $words]]
  set status 0
  set code [catch {interp eval $child [list source $script]} message options]
  if {$code} {
    set status 1
    set how [dict get $options -errorcode]
    if {[lindex $how 0] eq "EXIT"} {
      set status [lindex $how 1]
    } else {
      interp eval $child [list append ::v::said $message\n]
    }
  }
  set broken {}
  if {$status == 0} {
    set broken [interp eval $child v::rules]
    if {[llength [interp eval $child {file channels}]] > 3} {
      lappend broken "files were left open"
    }
  }
  set design {}
  foreach name {cells parameters nets links assigned excluded core launched} {
    dict set design $name [interp eval $child [list set ::v::$name]]
  }
  set said [interp eval $child {set ::v::said}]
  interp delete $child
  return [dict create code $status said $said broken $broken design $design]
}
