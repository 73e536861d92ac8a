# Projects, files, runs, reports (UG835, UG894).

namespace eval v {
  variable projects {}      ;# names, the current one last
  variable files {}         ;# project -> files in order
  variable stale {}         ;# project -> 1 where the compile order is older than the files
  variable promoted {}      ;# message ids made errors in the run's process
  variable launched {}
  variable opened ""
  variable drc_ran 0
}

v::command version {-short 0 -quiet 0} "UG835, version" {
  return [v::want version]
}
v::command get_parts {-quiet 0 -filter 1} "UG835, get_parts" {
  return [expr {[v::want part_known] ? "part:$rest" : ""}]
}

proc v::current {} {
  variable projects
  if {$projects eq {}} {
    v::stop "\[Common 17-53\] User Exception: No open project. Please create or open a project before executing this command."
  }
  return [lindex $projects end]
}

v::command create_project {-part 1 -force 0 -in_memory 0 -quiet 0} "UG835, create_project" {
  v::need create_project 2 $rest
  lassign $rest name directory
  if {![info exists opt(-part)]} {
    v::stop "\[Coretcl 2-1\] without -part a project has the default part, another one than this design's"
  }
  if {[llength [get_parts $opt(-part)]] == 0} {
    v::stop "\[Coretcl 2-106\] Specified part could not be found"
  }
  if {[file exists [file join $directory $name.xpr]] && ![info exists opt(-force)]} {
    v::stop "\[Common 17-53\] Project '$name.xpr' exists; use -force to overwrite it"
  }
  file mkdir $directory
  close [open [file join $directory $name.xpr] w]
  lappend ::v::projects $name
  dict set ::v::files $name {}
  dict set ::v::stale $name 0
  v::put project:$name DIRECTORY $directory
  v::put project:$name PART $opt(-part)
  foreach {run step} {synth_1 synth_design impl_1 route_design} {
    v::put run:$run STATUS "Not started"
    v::put run:$run NEEDS_REFRESH 0
    v::put run:$run DIRECTORY [file join $directory $name.runs $run]
  }
  return project:$name
}
v::command current_project {-quiet 0} "UG835, current_project" {
  return project:[v::current]
}
v::command close_project {-quiet 0 -delete 0} "UG835, close_project" {
  v::current
  set ::v::projects [lrange $::v::projects 0 end-1]
}
v::command current_fileset {-quiet 0} "UG835, current_fileset" {
  return fileset:[v::current]
}

proc v::add_project_file {path} {
  variable files
  variable stale
  dict lappend files [v::current] $path
  dict set stale [v::current] 1
}

v::command add_files {-norecurse 0 -fileset 1 -quiet 0} "UG835, add_files" {
  v::need add_files 1 $rest
  foreach path [lindex $rest 0] {
    if {![file exists $path]} {
      v::stop "\[Common 17-165\] file '$path' does not exist"
    }
    v::add_project_file $path
    v::put file:$path FILE_TYPE [expr {[file extension $path] eq ".mem" ? "Memory Initialization Files" : "by extension"}]
  }
}
v::command get_files {-quiet 0 -of_objects 1 -filter 1} "UG835, get_files" {
  v::need get_files 1 $rest
  set found {}
  foreach pattern [lindex $rest 0] {
    foreach path [dict get $::v::files [v::current]] {
      if {$path eq $pattern || [file tail $path] eq $pattern} {
        lappend found file:$path
      }
    }
  }
  return $found
}
v::command update_compile_order {-fileset 1 -quiet 0} "UG835, update_compile_order" {
  dict set ::v::stale [v::current] 0
}
v::command update_ip_catalog {-rebuild 0 -quiet 0} "UG835, update_ip_catalog" {
  foreach directory [v::fetch project:[v::current] IP_REPO_PATHS] {
    v::read_core $directory
  }
}

v::command make_wrapper {-files 1 -top 0 -import 0 -force 0 -quiet 0} "UG835, make_wrapper" {
  v::expect $opt(-files) file
  if {![info exists opt(-top)]} {
    v::stop "\[Vivado 12-1\] make_wrapper wants -top or -testbench"
  }
  set design [dict get $::v::bd name]
  set project [v::current]
  set path [file join [v::fetch project:$project DIRECTORY] $project.gen sources_1 bd $design hdl ${design}_wrapper.v]
  file mkdir [file dirname $path]
  set file [open $path w]
  puts $file "module ${design}_wrapper; endmodule"
  close $file
  return $path
}
v::command generate_target {-force 0 -quiet 0} "UG835, generate_target" {
  v::need generate_target 2 $rest
  v::expect [lindex $rest 1] file
  set design [dict get $::v::bd name]
  set project [v::current]
  if {![dict get $::v::bd validated]} {
    v::stop "\[BD 41-1\] the design changed since it was validated"
  }
  dict set ::v::bd generated 1
  set directory [file join [v::fetch project:$project DIRECTORY] $project.gen sources_1 bd $design hw_handoff]
  file mkdir $directory
  if {[v::want hwh] > 0} {
    set file [open [file join $directory $design.hwh] w]
    puts $file "<hwh of $design/>"
    close $file
  }
  if {[v::want hwh] > 1} {
    file mkdir [string map {project.gen old.gen} $directory]
    close [open [file join [string map {project.gen old.gen} $directory] $design.hwh] w]
  }
}

v::command get_runs {-quiet 0} "UG835, get_runs" {
  v::current
  if {$rest ni {synth_1 impl_1}} {
    return {}
  }
  return run:$rest
}

proc v::log {run lines} {
  set directory [v::fetch run:$run DIRECTORY]
  file mkdir $directory
  set file [open [file join $directory runme.log] w]
  puts $file [join $lines \n]
  close $file
}

# A run's script is read by a process of its own: a bare interpreter with set_msg_config.
proc v::hook {path} {
  variable promoted
  set child [interp create]
  interp alias $child set_msg_config {} ::set_msg_config
  interp alias $child puts {} ::puts
  set code [catch {interp eval $child [v::script $path]} message]
  interp delete $child
  if {$code} {
    v::stop $message
  }
}

v::command set_msg_config {-id 1 -severity 1 -new_severity 1 -limit 1 -suppress 0 -string 1 -quiet 0} "UG835, set_msg_config" {
  if {![info exists opt(-id)] || $rest ne {}} {
    v::stop "\[Common 17-2\] set_msg_config wants -id"
  }
  if {$opt(-new_severity) ni {ERROR {CRITICAL WARNING} WARNING INFO STATUS}} {
    v::stop "\[Common 17-3\] '$opt(-new_severity)' is no severity"
  }
  dict set ::v::promoted $opt(-id) $opt(-new_severity)
}

v::command launch_runs {-jobs 1 -to_step 1 -quiet 0} "UG835, launch_runs" {
  v::need launch_runs 1 $rest
  lappend ::v::launched [list $rest $opt(-jobs)]
  if {$rest eq "synth_1"} {
    v::synthesise
  } elseif {$rest eq "impl_1"} {
    if {![string match "synth_design Complete*" [v::fetch run:synth_1 STATUS]]} {
      v::stop "\[Common 17-70\] synth_1 is not complete"
    }
    v::put run:impl_1 STEP [expr {[info exists opt(-to_step)] ? $opt(-to_step) : "route_design"}]
  } else {
    v::stop "\[Common 17-71\] there is no run $rest"
  }
  v::put run:$rest WAITED 0
}

proc v::wait {run} {
  if {$run ni {synth_1 impl_1}} {
    v::stop "\[Common 17-71\] there is no run $run"
  }
  v::put run:$run WAITED 1
  if {$run eq "synth_1"} {
    v::put run:synth_1 STATUS [v::fetch run:synth_1 RESULT]
    v::put run:synth_1 NEEDS_REFRESH [v::want synth_refresh]
  } else {
    v::put run:impl_1 STATUS [v::want impl_status]
    v::put run:impl_1 NEEDS_REFRESH [v::want impl_refresh]
    v::log impl_1 [v::want impl_log]
  }
  if {[v::want raises] && ![string match "*Complete*" [v::fetch run:$run STATUS]]} {
    v::stop "\[Common 17-39\] 'wait_on_runs' failed due to earlier errors."
  }
}
foreach name {wait_on_run wait_on_runs} {
  v::command $name {-timeout 1 -quiet 0} "UG835, wait_on_runs (wait_on_run in older guides)" {
    v::wait $rest
  }
}

v::command open_run {-name 1 -quiet 0} "UG835, open_run" {
  if {![v::fetch run:$rest WAITED 0] || ![string match "*Complete*" [v::fetch run:$rest STATUS]]} {
    v::stop "\[Common 17-69\] Run '$rest' has not been completed and cannot be opened"
  }
  set ::v::opened $rest
  return design:$rest
}

proc v::routed {} {
  if {$::v::opened ne "impl_1"} {
    v::stop "\[Common 17-53\] User Exception: No open design. Please open an elaborated, synthesized or implemented design before executing this command."
  }
}

proc v::report {options text} {
  v::routed
  if {![dict exists $options -file]} {
    return $text
  }
  set file [open [dict get $options -file] w]
  puts $file $text
  close $file
}

v::command get_cells {-quiet 0 -hierarchical 0 -filter 1} "UG835, get_cells; UG912, cell: IS_BLACKBOX" {
  v::routed
  if {$opt(-filter) ne "IS_BLACKBOX == 1" || ![info exists opt(-hierarchical)]} {
    v::stop "\[Common 17-161\] the stand-in knows only the black boxes"
  }
  return [concat [v::fetch design:impl_1 BLACKBOXES] [v::want blackboxes]]
}
v::command report_route_status {-file 1 -boolean_check 1 -return_string 0 -quiet 0} "UG835, report_route_status" {
  if {[info exists opt(-boolean_check)]} {
    v::routed
    switch $opt(-boolean_check) {
      ROUTED_FULLY {return [v::want routed]}
      ERRORS_IN_ROUTES {return [v::want route_errors]}
      default {v::stop "\[Common 17-4\] -boolean_check knows no $opt(-boolean_check)"}
    }
  }
  v::report [array get opt] "Design Route Status"
}
v::command report_drc {-file 1 -return_string 0 -ruledecks 1 -quiet 0} "UG835, report_drc" {
  set ::v::drc_ran 1
  v::report [array get opt] "Report DRC"
}
v::command get_drc_violations {-quiet 0 -name 1 -filter 1} "UG835, get_drc_violations" {
  v::routed
  if {!$::v::drc_ran} {
    return {}
  }
  set found {}
  foreach {name severity} [v::want violations] {
    if {[string match "*== Error*" $opt(-filter)] && $severity eq "Error"
        || [string match "*== \"Critical Warning\"*" $opt(-filter)] && $severity eq "Critical Warning"} {
      lappend found $name
    }
  }
  return $found
}
v::command get_timing_paths {-setup 0 -hold 0 -max_paths 1 -nworst 1 -delay_type 1 -quiet 0} "UG835, get_timing_paths" {
  v::routed
  if {![v::want paths]} {
    return {}
  }
  set kind [expr {[info exists opt(-hold)] ? "hold" : "setup"}]
  set path timing_path:$kind
  v::put $path SLACK [v::want [expr {$kind eq "hold" ? "whs" : "wns"}]]
  v::put $path STARTPOINT_PIN [lindex [v::want pins] 0]
  v::put $path ENDPOINT_PIN [lindex [v::want pins] 1]
  v::put $path ENDPOINT_CLOCK pl_clock
  return $path
}
v::command get_clocks {-quiet 0 -of_objects 1} "UG835, get_clocks" {
  v::routed
  v::put clock:$rest PERIOD [v::want period]
  return clock:$rest
}
v::command report_timing_summary {-file 1 -return_string 0 -quiet 0} "UG835, report_timing_summary" {
  v::report [array get opt] [expr {[v::want met] ? "All user specified timing constraints are met." : "Timing constraints are not met."}]
}
v::command report_utilization {-file 1 -return_string 0 -cells 1 -quiet 0} "UG835, report_utilization" {
  v::report [array get opt] [v::want utilisation]
}
v::command write_bitstream {-force 0 -bin_file 0 -quiet 0} "UG835, write_bitstream" {
  v::routed
  v::need write_bitstream 1 $rest
  if {[file exists $rest] && ![info exists opt(-force)]} {
    v::stop "\[Common 17-176\] Overwrite of existing file isn't enabled. Please specify -force to overwrite file"
  }
  if {[v::want bitstream]} {
    set file [open $rest w]
    puts $file "bitstream"
    close $file
  }
}
