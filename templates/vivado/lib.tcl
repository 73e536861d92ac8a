# What the scripts share: the places, the refusal, the look-ups.

set here [file dirname [file normalize [info script]]]
set out [file dirname $here]
set work [file join $here work]
set pynq [file join $out pynq]
set reports [file join $work reports]

# Stop with one paragraph; nothing is delivered after it.
proc fail {what reason remedy} {
  puts stderr "xnorhw: error: $what: $reason. $remedy."
  exit 1
}

proc read_text {path} {
  set file [open $path]
  set text [read $file]
  close $file
  return $text
}

proc check_environment {} {
  global here part minimum_version
  set version [version -short]
  if {![regexp {^(\d+)\.(\d+)} $version short year release]} {
    fail "Vivado" "its version '$version' is in no known form" "Use $minimum_version or newer"
  }
  if {[package vcompare $short $minimum_version] < 0} {
    fail "Vivado $version" "these scripts are written for $minimum_version and newer" "Install a newer Vivado"
  }
  if {[string match {* *} $here]} {
    fail $here "these scripts take no path with a space, for nobody has tried whether projects and packaged IP do" "Move the folder"
  }
  if {[llength [get_parts -quiet $part]] == 0} {
    fail $part "this edition of Vivado $version has no such part" "Add its device family with the installer, or use an edition that has it"
  }
}

# The newest definition in the catalog, so that no version is written down here.
proc newest_ip {vlnv} {
  set found [get_ipdefs -quiet $vlnv:*]
  if {[llength $found] == 0} {
    fail $vlnv "the IP catalog has none of it" "Repair the installation of Vivado"
  }
  return [lindex [lsort -dictionary [get_property VLNV $found]] end]
}

# Vivado has had this command under two names; newer releases raise in it where the run failed,
# "[Common 17-39] 'wait_on_runs' failed due to earlier errors": check_run says more of it.
proc wait_for {run} {
  set wait wait_on_run
  if {[llength [info commands wait_on_runs]]} {
    set wait wait_on_runs
  }
  catch {$wait $run}
}

# Vivado's Tcl is 8.5 in places: no lmap.
proc under {directory names} {
  foreach name $names {
    lappend paths [file join $directory $name]
  }
  return $paths
}

proc require_files {paths remedy} {
  foreach path $paths {
    if {![file isfile $path]} {
      fail $path "the file is missing" $remedy
    }
  }
}

# The sources of the IP, in order: all of rtl/, or the shell around the core from Vitis.
proc core_sources {pe} {
  global out name shell_sources
  set rtl [file join $out rtl]
  if {$pe eq "rtl"} {
    require_files [list [file join $rtl files.f]] "Build the folder again"
    set paths [under $rtl [split [string trim [read_text [file join $rtl files.f]]] \n]]
  } else {
    set paths [under $rtl $shell_sources]
    lappend paths [file join $out hls ${name}_core.v]
    lappend paths {*}[hls_files *.v]
  }
  require_files $paths "Build the folder again"
  return $paths
}

# The contents of the memories; the sources open them by bare name.
proc core_memories {pe} {
  global out
  if {$pe eq "rtl"} {
    return [lsort [glob -nocomplain -directory [file join $out rom] *.mem]]
  }
  return [hls_files *.dat]
}

# What Vitis HLS made. hls/synth.tcl leaves the stamp where all went well, with the time at which
# it began: what changed since is not in the Verilog.
proc hls_files {pattern} {
  global out name
  set hls [file join $out hls]
  set solution [file join $hls work ${name}_hls solution]
  set verilog [file join $solution syn verilog]
  set stamp [file join $solution synthesised]
  set remedy "Run make -C $hls synth first, or build with PE=rtl"
  if {![file isfile $stamp] || ![file isdirectory $verilog]} {
    fail $verilog "the core from Vitis HLS is not there, and PE=hls builds on it" $remedy
  }
  foreach source [lsort [glob -nocomplain -directory $hls *.cpp *.h synth.tcl]] {
    if {[file mtime $source] > [file mtime $stamp]} {
      fail $source "the core from Vitis HLS is older, and PE=hls builds on it" $remedy
    }
  }
  return [lsort [glob -nocomplain -directory $verilog $pattern]]
}
