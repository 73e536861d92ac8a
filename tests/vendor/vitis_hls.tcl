# A stand-in for Vitis HLS' Tcl interpreter: knows the commands and options that UG1399 documents, keeps
# what a script set up, and refuses what Vitis refuses.  Called as Vitis is: -version, -f FILE, or
# --mode hls --tcl FILE.
#
# The environment sets the scene:
#   STANDIN_VERSION     what -version tells (2023.2)
#   STANDIN_PARTS       the parts that are installed, separated by spaces
#   STANDIN_FLAVOUR     "projects" or "components": which of the two the release knows
#   STANDIN_FAIL        csim, csynth, report, ip, ii=LOOP=N, noloops, killed: what goes wrong; canonical:
#                       a DATAFLOW region is not in canonical form, which is an error only if asked for
#   STANDIN_SECONDS     how long ago the run began when csynth_design ends, by the clock
#   STANDIN_RECORD      a file that receives what was set up, a line a fact
# The report that csynth_design leaves is written by hand after the format of Vitis' csynth.xml.

proc scene {name default} {
  expr {[info exists ::env(STANDIN_$name)] ? $::env(STANDIN_$name) : $default}
}

set version [scene VERSION 2023.2]
set parts [split [scene PARTS "xc7z020clg400-1 xck26-sfvc784-2LV-c xczu3eg-sbva484-1-i xczu7ev-ffvc1156-2-e"]]
set flavour [scene FLAVOUR projects]
set fail [split [scene FAIL ""] =]

# what the script set up
array set state {folder "" solution "" top "" part "" clock "" strict "" csim 0 csynth 0}
set sources {}
set benches {}

# the clock stands until csynth_design
rename clock clock_now
proc clock {args} {
  if {$args ne "seconds"} { return [uplevel 1 [list clock_now {*}$args]] }
  expr {[clock_now seconds] - ($::state(csynth) ? 0 : [scene SECONDS 0])}
}

proc fact {text} {
  if {[scene RECORD ""] ne ""} {
    set file [open [scene RECORD ""] a]
    puts $file $text
    close $file
  }
}

proc fault {message} { return -code error "ERROR: \[HLS 200-0\] $message" }

# options of a command: name -> 1 where a value follows; what is left are the arguments
proc parse {command known args} {
  set options {}
  set rest {}
  while {[llength $args]} {
    set args [lassign $args word]
    if {![string match -* $word]} { lappend rest $word; continue }
    if {![dict exists $known $word]} { fault "$command: unknown option '$word'" }
    if {[dict get $known $word]} {
      if {![llength $args]} { fault "$command: option '$word' needs a value" }
      set args [lassign $args value]
      dict set options $word $value
    } else {
      dict set options $word 1
    }
  }
  list $options $rest
}

proc one {command rest} {
  if {[llength $rest] != 1} { fault "$command takes one argument, not [llength $rest]" }
  lindex $rest 0
}

proc flow {command options} {
  if {![dict exists $options -flow_target]} { return }
  set flow [dict get $options -flow_target]
  if {$flow ni {vivado vitis}} { fault "$command: unknown flow target '$flow'" }
  fact "flow $flow"
}

proc need {command what} {
  if {$::state($what) eq ""} {
    fault "$command: there is no active [expr {$what eq "folder" ? "project" : "solution"}]"
  }
}

# UG1399, project commands
if {$flavour eq "projects"} {
  proc open_project {args} {
    lassign [parse open_project {-reset 0 -upgrade 0 -ide 1} {*}$args] options rest
    set ::state(folder) [file normalize [one open_project $rest]]
    file mkdir $::state(folder)
    fact "project [file tail $::state(folder)]"
  }
  # UG1399, solution commands
  proc open_solution {args} {
    lassign [parse open_solution {-reset 0 -flow_target 1} {*}$args] options rest
    need open_solution folder
    flow open_solution $options
    set ::state(solution) [file join $::state(folder) [one open_solution $rest]]
    # "also removes synthesis, verification, and implementation"; other files stay
    if {[dict exists $options -reset]} { file delete -force [file join $::state(solution) syn] }
    file mkdir $::state(solution)
    fact "solution [file tail $::state(solution)]"
  }
} else {
  proc open_component {args} {
    lassign [parse open_component {-reset 0 -flow_target 1 -config 1 -write_ini 0} {*}$args] options rest
    flow open_component $options
    set ::state(folder) [file normalize [one open_component $rest]]
    set ::state(solution) [file join $::state(folder) hls]
    if {[dict exists $options -reset]} { file delete -force [file join $::state(solution) syn] }
    file mkdir $::state(solution)
    fact "component [file tail $::state(folder)]"
  }
}

proc set_top {args} {
  lassign [parse set_top {} {*}$args] options rest
  need set_top folder
  set ::state(top) [one set_top $rest]
}

proc add_files {args} {
  set known {-tb 0 -cflags 1 -csimflags 1 -blackbox 1}
  lassign [parse add_files $known {*}$args] options rest
  need add_files folder
  # the argument is a list of names in itself: a path with a space is two files
  foreach name [split [one add_files $rest]] {
    if {![file exists $name]} { fault "Cannot find source file '$name'" }
    if {[dict exists $options -tb]} { lappend ::benches [file normalize $name] } else {
      if {[file extension $name] ni {.c .cpp .cc .cxx}} { fault "'$name' is no design source" }
      lappend ::sources [file normalize $name]
    }
  }
}

proc set_part {args} {
  lassign [parse set_part {-tool 1} {*}$args] options rest
  need set_part solution
  set part [one set_part $rest]
  if {$part ni $::parts} { fault "Part '$part' is not installed." }
  set ::state(part) $part
}

proc create_clock {args} {
  lassign [parse create_clock {-period 1 -name 1} {*}$args] options rest
  need create_clock solution
  if {[llength $rest]} { fault "create_clock takes no argument" }
  set period [expr {[dict exists $options -period] ? [dict get $options -period] : 10}]
  if {![regexp -nocase {^([0-9.]+)(ns|mhz)?$} $period all number unit]} { fault "bad period '$period'" }
  set ::state(clock) [expr {[string tolower $unit] eq "mhz" ? 1000.0 / $number : $number}]
}

proc config_dataflow {args} {
  set known {-strict_mode 1 -default_channel 1 -fifo_depth 1 -start_fifo_depth 1 -scalar_fifo_depth 1
    -task_level_fifo_depth 1 -override_user_fifo_depth 1 -disable_fifo_sizing_opt 0 -strict_stable_sync 0}
  lassign [parse config_dataflow $known {*}$args] options rest
  need config_dataflow solution
  if {[dict exists $options -strict_mode]} {
    if {[dict get $options -strict_mode] ni {off warning error}} { fault "bad strict mode" }
    set ::state(strict) [dict get $options -strict_mode]
  }
}

proc content {name} {
  set file [open $name]
  set text [read $file]
  close $file
  regsub -all {//[^\n]*} $text "" text
  return $text
}

# the sources with the local headers that they include, each once
proc with_headers {names} {
  set texts {}
  array set seen {}
  while {[llength $names]} {
    set names [lassign $names name]
    if {[info exists seen($name)]} continue
    set seen($name) 1
    set text [content $name]
    lappend texts $text
    foreach {all included} [regexp -all -inline {#include "([^"]+)"} $text] {
      set path [file normalize [file join [file dirname $name] $included]]
      if {[file exists $path]} { lappend names $path } elseif {$included ni {ap_int.h hls_stream.h}} {
        fault "'$included' file not found, included from $name"
      }
    }
  }
  join $texts "\n"
}

# every function that some header declares has its body in a source
proc link {names} {
  set text [with_headers $names]
  set functions {}
  foreach {all name} [regexp -all -inline {\mvoid\s+(\w+)\s*\([^;\{]*\)\s*;} $text] { lappend functions $name }
  foreach name [lsort -unique $functions] {
    if {![regexp "\\mvoid\\s+$name\\s*\\(\[^;\{\]*\\)\\s*\{" $text]} { fault "undefined reference to '$name'" }
  }
  return $text
}

proc csim_design {args} {
  set known {-O 0 -argv 1 -clean 0 -ldflags 1 -mflags 1 -profile 0 -setup 0}
  lassign [parse csim_design $known {*}$args] options rest
  need csim_design solution
  set programs [lsearch -all -inline -regexp $::benches {\.(c|cpp|cc|cxx)$}]
  set text [link [concat $::sources $programs]]
  if {![regexp {\mint\s+main\s*\(} $text]} { fault "undefined reference to 'main'" }
  # the testbench opens its files in the folder where it runs, to which data files are copied
  foreach {all name} [regexp -all -inline {"/?(\w+\.hex)"} $text] {
    if {$name ni [lmap path $::benches {file tail $path}]} {
      fault "CSim failed with errors: nonzero exit code: no $name"
    }
  }
  if {[lindex $::fail 0] eq "csim"} { fault "CSim failed with errors." }
  fact csim
}

proc csynth_design {args} {
  lassign [parse csynth_design {-dump_cfg 0 -dump_post_cfg 0 -synthesis_check 0} {*}$args] options rest
  need csynth_design solution
  if {$::state(top) eq ""} { fault "the top function is not set" }
  set text [link $::sources]
  if {![regexp "\\mvoid\\s+$::state(top)\\s*\\(\[^;\{\]*\\)\\s*\{" $text]} { fault "top function '$::state(top)' not found" }
  if {[lindex $::fail 0] eq "killed"} { exec kill -KILL [pid] }
  if {[lindex $::fail 0] eq "csynth"} { fault "synthesis failed" }
  # without a word it warns, and the processes run one after the other
  if {[lindex $::fail 0] eq "canonical" && $::state(strict) eq "error"} {
    fault "a DATAFLOW region of '$::state(top)' is not in canonical form"
  }
  # what Vitis takes where nothing was said: it warns and goes on
  if {$::state(part) eq ""} { set ::state(part) xcvu5p-flva2104-1-e }
  if {$::state(clock) eq ""} { set ::state(clock) 10.0 }
  set verilog [file join $::state(solution) syn verilog]
  file mkdir $verilog
  write_text [file join $verilog $::state(top).v] "module $::state(top) ();\nendmodule\n"
  if {[lindex $::fail 0] eq "ip"} { write_text [file join $verilog $::state(top)_fadd_ip.tcl] "create_ip\n" }
  if {[lindex $::fail 0] ne "report"} {
    file mkdir [file join $::state(solution) syn report]
    write_text [file join $::state(solution) syn report csynth.xml] [csynth_xml $text]
  }
  set ::state(csynth) 1
  fact csynth
}

# A part as the report has it, with a dash between the device and the package: xc7z020-clg400-1.
proc dashed {part} { regsub {^(xc7[a-z]+\d+t?)([a-z]+\d)} $part {\1-\2} }

proc write_text {path text} {
  set file [open $path w]
  puts -nonewline $file $text
  close $file
}

proc resources {lut ff bram dsp uram} {
  return "<Resources><BRAM_18K>$bram</BRAM_18K><DSP>$dsp</DSP><FF>$ff</FF><LUT>$lut</LUT><URAM>$uram</URAM></Resources>"
}

# Every function with a labelled loop becomes a module with one loop.  The nest is one loop in the
# report, named after its labels.
proc csynth_xml {text} {
  set period [format %.2f $::state(clock)]
  set modules ""
  set hint {\mvoid\s+(\w+)\s*\([^;\{]*\)\s*\{((?:[^\n]|\n(?!\}))*)\n\}}
  foreach {all name body} [regexp -all -inline $hint $text] {
    # below the pipelined loop everything is unrolled
    regsub {#pragma HLS PIPELINE.*} $body "" body
    set labels [lmap {all label} [regexp -all -inline {\n\s*(\w+):\s*\n?\s*for } $body] {set label}]
    if {![llength $labels] || [lindex $::fail 0] eq "noloops"} continue
    set loop [join $labels _]
    set ii [expr {[lrange $::fail 0 1] eq [list ii $loop] ? [lindex $::fail 2] : 1}]
    append modules "<Module><Name>$name</Name><Loops><$loop/></Loops><PerformanceEstimates>
<SummaryOfTimingAnalysis><TargetClockPeriod>$period</TargetClockPeriod><ClockUncertainty>2.70</ClockUncertainty>
<EstimatedClockPeriod>5.000</EstimatedClockPeriod></SummaryOfTimingAnalysis>
<SummaryOfOverallLatency><Best-caseLatency>100</Best-caseLatency><Average-caseLatency>100</Average-caseLatency>
<Worst-caseLatency>100</Worst-caseLatency><PipelineInitiationInterval>98</PipelineInitiationInterval>
<PipelineType>loop auto-rewind flp</PipelineType></SummaryOfOverallLatency>
<SummaryOfLoopLatency><$loop><Name>$loop</Name><TripCount>98</TripCount><Latency>98</Latency>
<PipelineII>$ii</PipelineII><PipelineDepth>2</PipelineDepth><PipelineType>yes</PipelineType></$loop></SummaryOfLoopLatency>
</PerformanceEstimates><AreaEstimates>[resources 120 60 1 0 0]</AreaEstimates></Module>\n"
  }
  return "<profile>
<ReportVersion><Version>$::version</Version></ReportVersion>
<UserAssignments><unit>ns</unit><Part>[dashed $::state(part)]</Part><TopModelName>$::state(top)</TopModelName>
<TargetClockPeriod>$period</TargetClockPeriod><ClockUncertainty>2.70</ClockUncertainty></UserAssignments>
<PerformanceEstimates><PipelineType>dataflow</PipelineType>
<SummaryOfTimingAnalysis><unit>ns</unit><EstimatedClockPeriod>5.000</EstimatedClockPeriod></SummaryOfTimingAnalysis>
<SummaryOfOverallLatency><unit>clock cycles</unit><Best-caseLatency>300</Best-caseLatency>
<Average-caseLatency>300</Average-caseLatency><Worst-caseLatency>300</Worst-caseLatency>
<DataflowPipelineThroughput>99</DataflowPipelineThroughput>
<Interval-min>99</Interval-min><Interval-max>99</Interval-max></SummaryOfOverallLatency></PerformanceEstimates>
<AreaEstimates>[resources 2400 1200 7 0 0]</AreaEstimates>
<ModuleInformation>\n$modules</ModuleInformation>\n</profile>\n"
}

# the command line
if {[lindex $argv 0] eq "-version"} {
  puts "Vitis HLS - High-Level Synthesis from C, C++ and OpenCL v$version (64-bit)\nTool Version $version"
  exit 0
} elseif {[lindex $argv 0] eq "--version"} {
  puts "****** vitis-run v$version (64-bit)"
  exit 0
} elseif {[llength $argv] == 2 && [lindex $argv 0] eq "-f"} {
  set script [lindex $argv 1]
} elseif {[llength $argv] == 4 && [lrange $argv 0 2] eq {--mode hls --tcl}} {
  set script [lindex $argv 3]
} else {
  puts stderr "unknown options: $argv"
  exit 2
}
if {[catch {source $script} message]} {
  puts stderr $message
  exit 1
}
# -f without an exit leaves Vitis HLS in its shell
puts stderr "the script did not exit"
exit 3
