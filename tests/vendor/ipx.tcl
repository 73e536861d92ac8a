# The IP packager (UG1118), and what synthesis finds in an IP.

namespace eval v {
  variable core {}
  variable current_core ""
}
namespace eval ipx {}

# Modules that a set of sources defines and uses, and memory files it opens by bare name.
proc v::scan {paths} {
  set defined {}
  set used {}
  set opened {}
  foreach path $paths {
    lassign [v::scan_text [v::text $path]] more_defined more_used more_opened
    lappend defined {*}$more_defined
    lappend used {*}$more_used
    lappend opened {*}$more_opened
  }
  return [list $defined [lsort -unique $used] [lsort -unique $opened]]
}

# Interfaces as Vivado infers them from the ports' names (UG1118): axis and aximm by their
# signals, clock and reset by theirs.
proc v::infer {path} {
  set file [open $path]
  set text [read $file]
  close $file
  array set width {}
  foreach {all direction _ high name} [regexp -all -inline -line {^\s*(input|output)\s+wire\s+(\[(\d+):0\])?\s*(\w+)} $text] {
    set direction_of($name) $direction
    set width($name) [expr {$high eq "" ? 1 : $high + 1}]
  }
  set buses {}
  foreach name [lsort [array names width]] {
    if {[regexp {^(.*)_tvalid$} $name all bus]} {
      dict set buses $bus [list xilinx.com:interface:axis_rtl:1.0 [expr {$direction_of($name) eq "input" ? "slave" : "master"}] $width(${bus}_tdata)]
    } elseif {[regexp {^(.*)_awvalid$} $name all bus]} {
      dict set buses $bus [list xilinx.com:interface:aximm_rtl:1.0 [expr {$direction_of($name) eq "input" ? "slave" : "master"}] $width(${bus}_wdata)]
    } elseif {[regexp {clk$} $name]} {
      dict set buses $name {xilinx.com:signal:clock_rtl:1.0 slave 1}
    } elseif {[regexp {resetn$} $name]} {
      dict set buses $name {xilinx.com:signal:reset_rtl:1.0 slave 1}
    }
  }
  return $buses
}

v::command ipx::package_project {-root_dir 1 -vendor 1 -library 1 -taxonomy 1 -import_files 0 -force 0 -set_current 1 -quiet 0} "UG835, ipx::package_project" {
  set project [v::current]
  set top [v::fetch fileset:$project TOP]
  if {$top eq ""} {
    v::stop "\[IP_Flow 19-1\] there is no top module"
  }
  if {[dict get $::v::stale $project]} {
    v::stop "\[IP_Flow 19-2\] the compile order was not updated since files were added"
  }
  if {[file exists [file join $opt(-root_dir) component.xml]] && ![info exists opt(-force)]} {
    v::stop "\[IP_Flow 19-3\] there is an IP in $opt(-root_dir) already"
  }
  set files [dict get $::v::files $project]
  file mkdir [file join $opt(-root_dir) src]
  set sources {}
  set memories {}
  set where ""
  foreach path $files {
    # imported files are the IP's own copies; without -import_files it refers to these
    set kept $path
    if {[info exists opt(-import_files)]} {
      set kept [file join $opt(-root_dir) src [file tail $path]]
      file copy -force $path $kept
    }
    if {[file extension $path] in {.v .sv}} {
      lappend sources $kept
      if {[regexp -line "^\\s*module\\s+$top\\M" [v::text $path]]} {
        set where $path
      }
    } elseif {[v::fetch file:$path FILE_TYPE] eq "Memory Initialization Files"} {
      lappend memories [file tail $path]
    }
  }
  if {[file extension $where] ne ".v"} {
    v::stop "\[IP_Flow 19-4\] the top module '$top' is in '$where': it has to be Verilog or VHDL"
  }
  set ::v::core [dict create vlnv $opt(-vendor):$opt(-library):$top:1.0 root $opt(-root_dir) own [info exists opt(-import_files)] \
    sources $sources memories $memories buses [v::infer $where] clocks {} reset {} polarity {} maps {} blocks {} registers {} map_ref {} \
    display_name {} description {} xgui 0 checksums 0 saved 0]
  if {[v::want inference] eq "full"} {
    dict set ::v::core polarity ACTIVE_LOW
    dict set ::v::core maps s_axi
    dict set ::v::core blocks s_axi {reg0 {}}
    dict set ::v::core map_ref s_axi
  }
  foreach bus [v::want not_inferred] {
    dict unset ::v::core buses $bus
  }
  foreach {bus type} [v::want wrongly_inferred] {
    dict set ::v::core buses $bus [list $type slave 1]
  }
  set ::v::current_core core:$top
}
proc v::text {path} {
  set file [open $path]
  set text [read $file]
  close $file
  return $text
}
proc v::edited {} {
  foreach key {xgui checksums saved} {
    dict set ::v::core $key 0
  }
}

v::command ipx::current_core {-quiet 0} "UG835, ipx::current_core" {
  return $::v::current_core
}
v::command ipx::get_bus_interfaces {-of_objects 1 -quiet 0} "UG835, ipx::get_bus_interfaces" {
  v::expect $opt(-of_objects) core
  if {![dict exists $::v::core buses $rest]} {
    return {}
  }
  lassign [dict get $::v::core buses $rest] type mode width
  v::put bus:$rest ABSTRACTION_TYPE_VLNV $type
  v::put bus:$rest INTERFACE_MODE $mode
  return bus:$rest
}
v::command ipx::associate_bus_interfaces {-busif 1 -clock 1 -reset 1 -clear 0 -remove 0 -quiet 0} "UG835, ipx::associate_bus_interfaces" {
  v::expect $rest core
  foreach option {-busif -clock -reset} {
    if {[info exists opt($option)] && ![dict exists $::v::core buses $opt($option)]} {
      v::stop "\[IP_Flow 19-5\] there is no bus interface $opt($option)"
    }
  }
  v::edited
  if {[info exists opt(-busif)]} {
    dict set ::v::core clocks $opt(-busif) $opt(-clock)
  } else {
    dict set ::v::core reset $opt(-reset)
  }
}
v::command ipx::get_bus_parameters {-of_objects 1 -quiet 0} "UG835, ipx::get_bus_parameters" {
  v::expect $opt(-of_objects) bus
  if {$opt(-of_objects) eq "bus:aresetn" && $rest eq "POLARITY" && [dict get $::v::core polarity] ne ""} {
    return parameter:aresetn/POLARITY
  }
}
v::command ipx::add_bus_parameter {-quiet 0} "UG835, ipx::add_bus_parameter" {
  v::need ipx::add_bus_parameter 2 $rest
  v::expect [lindex $rest 1] bus
  if {[lindex $rest 1] eq "bus:aresetn" && [dict get $::v::core polarity] ne ""} {
    v::stop "\[IP_Flow 19-6\] aresetn has a parameter POLARITY already"
  }
  v::edited
  return parameter:[v::name [lindex $rest 1]]/[lindex $rest 0]
}
v::command ipx::get_memory_maps {-of_objects 1 -quiet 0} "UG835, ipx::get_memory_maps" {
  v::expect $opt(-of_objects) core
  set found {}
  foreach map [dict get $::v::core maps] {
    v::put map:$map NAME $map
    lappend found map:$map
  }
  return $found
}
v::command ipx::remove_memory_map {-quiet 0} "UG835, ipx::remove_memory_map" {
  v::need ipx::remove_memory_map 2 $rest
  v::expect [lindex $rest 1] core
  dict set ::v::core maps {}
  dict unset ::v::core blocks [lindex $rest 0]
  dict set ::v::core map_ref {}
}
v::command ipx::add_memory_map {-quiet 0} "UG835, ipx::add_memory_map" {
  v::need ipx::add_memory_map 2 $rest
  v::expect [lindex $rest 1] core
  if {[lindex $rest 0] in [dict get $::v::core maps]} {
    v::stop "\[IP_Flow 19-7\] there is a memory map [lindex $rest 0] already"
  }
  v::edited
  dict lappend ::v::core maps [lindex $rest 0]
  v::put map:[lindex $rest 0] NAME [lindex $rest 0]
  return map:[lindex $rest 0]
}
v::command ipx::add_address_block {-quiet 0} "UG835, ipx::add_address_block" {
  v::need ipx::add_address_block 2 $rest
  v::expect [lindex $rest 1] map
  v::edited
  dict set ::v::core blocks [v::name [lindex $rest 1]] [lindex $rest 0] {}
  return block:[v::name [lindex $rest 1]]/[lindex $rest 0]
}
v::command ipx::add_register {-quiet 0} "UG835, ipx::add_register" {
  v::need ipx::add_register 2 $rest
  v::expect [lindex $rest 1] block
  v::edited
  dict set ::v::core registers [lindex $rest 0] {}
  return register:[lindex $rest 0]
}

# Where properties of the IP's parts go.
proc v::changed {object property value} {
  set property [string tolower $property]
  switch [v::kind $object] {
    core {dict set ::v::core $property $value}
    parameter {
      if {[v::name $object] ne "aresetn/POLARITY"} {
        v::stop "\[IP_Flow 19-8\] [v::name $object] means nothing to Vivado"
      }
      dict set ::v::core polarity $value
    }
    bus {
      if {$value ni [dict get $::v::core maps]} {
        v::stop "\[IP_Flow 19-9\] there is no memory map $value"
      }
      dict set ::v::core map_ref $value
    }
    block {dict set ::v::core blocks {*}[split [v::name $object] /] $property $value}
    register {dict set ::v::core registers [v::name $object] $property $value}
    default {return}
  }
  v::edited
}

foreach {name key} {ipx::create_xgui_files xgui ipx::update_checksums checksums ipx::save_core saved} {
  v::command $name {-quiet 0} "UG835, $name" "v::expect \$rest core; v::finish $key"
}
proc v::finish {key} {
  variable core
  dict set core $key 1
  if {$key eq "saved"} {
    set file [open [file join [dict get $core root] component.xml] w]
    puts $file $core
    close $file
  } else {
    dict set core saved 0
  }
}

# The catalog's view of a packaged IP.
proc v::read_core {directory} {
  variable ips
  variable core
  set path [file join $directory component.xml]
  if {![file exists $path]} {
    return
  }
  set core [v::text $path]
  set body {}
  dict for {bus interface} [dict get $core buses] {
    lassign $interface type mode width
    switch -glob $type {
      *:clock_rtl:* {lappend body [list pin $bus I clk]}
      *:reset_rtl:* {lappend body [list pin $bus I rst]}
      default {
        set clock [expr {[dict exists $core clocks $bus] ? [dict get $core clocks $bus] : ""}]
        set kind [lindex [split $type :] 2]
        set segment {}
        if {$kind eq "aximm_rtl" && [dict get $core map_ref] ne ""} {
          dict for {block values} [dict get $core blocks [dict get $core map_ref]] {
            lappend segment $block [expr {[dict exists $values range] ? [dict get $values range] : 4096}]
          }
        }
        lappend body [list interface $bus $mode [string map {_rtl {}} $kind] width $width clock $clock reset [dict get $core reset] segment $segment]
      }
    }
  }
  v::ip [dict get $core vlnv] "component.xml" {} [join $body \n]
}

# What synth_1 does, as far as it can go wrong here.
proc v::synthesise {} {
  variable core
  variable bd
  variable promoted
  set project [v::current]
  set lines {}
  set status "synth_design Complete!"
  set top [v::fetch fileset:$project TOP]
  set names {}
  foreach path [dict get $::v::files $project] {
    lappend names [file rootname [file tail $path]]
  }
  if {$top ne "[dict get $bd name]_wrapper" || $top ni $names || ![dict get $bd generated]} {
    set status "synth_design ERROR"
  }
  if {[dict get $::v::stale $project]} {
    v::stop "\[Vivado 12-2\] the compile order was not updated since files were added"
  }
  if {[v::fetch file:[dict get $bd name].bd SYNTH_CHECKPOINT_MODE] ne "None"} {
    # each IP is a run of its own then, which no hook of synth_1 reaches
    set promoted {}
  } elseif {[v::fetch run:synth_1 STEPS.SYNTH_DESIGN.TCL.PRE] ne ""} {
    v::hook [v::fetch run:synth_1 STEPS.SYNTH_DESIGN.TCL.PRE]
  }
  lassign [v::scan [dict get $core sources]] defined used opened
  set missing {}
  foreach name $opened {
    if {$name ni [dict get $core memories] || [v::want memories_lost]} {
      lappend missing $name
    }
  }
  foreach name $missing {
    set severity "CRITICAL WARNING"
    if {[dict exists $promoted {Synth 8-4445}]} {
      set severity [dict get $promoted {Synth 8-4445}]
      set status "synth_design ERROR"
    }
    lappend lines "$severity: \[Synth 8-4445\] could not open \$readmem data file '$name'; please make sure the file is added to project and has read permission, ignoring"
  }
  set boxes {}
  foreach name $used {
    if {$name ni $defined} {
      lappend boxes $name
    }
  }
  v::put design:impl_1 BLACKBOXES $boxes
  v::put run:synth_1 RESULT [expr {[v::want synth_status] eq "" ? $status : [v::want synth_status]}]
  v::log synth_1 [concat $lines [v::want synth_log]]
}
