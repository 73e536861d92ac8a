# The stand-in's ground: options, typed objects, properties, messages.
#
# Objects are words "<kind>:<name>", so that one of the wrong kind is found out. A command is
# declared with the options that UG835 gives it; anything else is an error, as in Vivado.

namespace eval v {
  variable scenario {}
  variable store ;# "<object> <property>" -> value
  array set store {}
  variable criticals {}
}

# Vivado's Tcl is 8.5 up to some version (UG894): what came with 8.6 is not there.
foreach name {lmap try throw tailcall coroutine yield yieldto zlib} {
  rename $name {}
}
rename string v::string86
proc string {option args} {
  if {$option eq "cat"} {
    error "unknown or ambiguous subcommand \"cat\": Tcl 8.5 has none"
  }
  uplevel 1 [list v::string86 $option {*}$args]
}

proc v::want {key} {
  variable scenario
  return [dict get $scenario $key]
}

# An error of Vivado: the script ends, the exit status is 1.
proc v::stop {message} {
  error "ERROR: $message"
}

# Declares a command: its options (name, number of values), its guide, its body. The body finds
# the options in the array "opt" and the rest in the list "rest".
proc v::command {name options guide body} {
  proc ::$name {args} "array set opt {}; set rest \[v::options $name [list $options] \$args opt\]\n$body"
}

proc v::options {name options words array} {
  upvar 1 $array opt
  set rest {}
  for {set i 0} {$i < [llength $words]} {incr i} {
    set word [lindex $words $i]
    if {![regexp {^-[a-z_]+$} $word]} {
      lappend rest $word
    } elseif {![dict exists $options $word]} {
      v::stop "\[Common 17-170\] Unknown option '$word', '$name' knows [dict keys $options]"
    } elseif {[dict get $options $word]} {
      incr i
      if {$i >= [llength $words]} {
        v::stop "\[Common 17-157\] '$name': $word wants a value"
      }
      set opt($word) [lindex $words $i]
    } else {
      set opt($word) 1
    }
  }
  return $rest
}

proc v::need {name count rest} {
  if {[llength $rest] != $count} {
    v::stop "\[Common 17-163\] '$name' takes $count arguments, not [llength $rest]"
  }
}

proc v::kind {object} {
  if {![regexp {^([a-z_]+):.} $object all kind]} {
    v::stop "\[Common 17-161\] '$object' is no object"
  }
  return $kind
}

proc v::name {object} {
  return [string range $object [expr {[string first : $object] + 1}] end]
}

proc v::expect {object args} {
  if {[llength $object] != 1 || [v::kind $object] ni $args} {
    v::stop "\[Common 17-161\] wants one object of [join $args { or }], not '$object'"
  }
}

proc v::put {object property value} {
  variable store
  set store([list $object [string toupper $property]]) $value
}

proc v::fetch {object property {default {}}} {
  variable store
  set key [list $object [string toupper $property]]
  if {[info exists store($key)]} {
    return $store($key)
  }
  return $default
}

# Which properties an object of a kind has: "rw" may be set by a script, "r" only read.
array set v::properties {
  project {ip_repo_paths rw}
  fileset {top rw}
  file {file_type rw synth_checkpoint_mode rw}
  run {STATUS r DIRECTORY r NEEDS_REFRESH r STEPS.SYNTH_DESIGN.TCL.PRE rw}
  ipdef {VLNV r}
  bd_cell {NAME r}
  bd_pin {NAME r DIR r TYPE r}
  bd_intf_pin {NAME r MODE r}
  bd_addr_seg {NAME r}
  core {display_name rw description rw}
  bus {abstraction_type_vlnv r interface_mode r slave_memory_map_ref rw}
  parameter {value rw}
  map {name r}
  block {usage rw base_address rw width rw range rw}
  register {address_offset rw size rw description rw}
  timing_path {SLACK r STARTPOINT_PIN r ENDPOINT_PIN r ENDPOINT_CLOCK r}
  clock {PERIOD r}
}

proc v::check_property {object property access} {
  variable properties
  set kind [v::kind $object]
  if {$kind eq "bd_cell" && [regexp {^CONFIG\.(.+)$} $property all parameter]} {
    v::check_parameter $object $parameter
    return
  }
  foreach {name mode} $properties($kind) {
    if {[string equal -nocase $name $property]} {
      if {$access eq "write" && $mode ne "rw"} {
        v::stop "\[Common 17-107\] Cannot set property '$property': it is read-only"
      }
      return
    }
  }
  v::stop "\[Common 17-58\] '$property' is no property of a $kind"
}

v::command set_property {-dict 1 -quiet 0} "UG835, set_property" {
  if {[info exists opt(-dict)]} {
    v::need set_property 1 $rest
    set pairs $opt(-dict)
  } else {
    v::need set_property 3 $rest
    set pairs [lrange $rest 0 1]
  }
  set objects [lindex $rest end]
  if {[llength $objects] == 0} {
    v::stop "\[Common 17-55\] 'set_property' expects at least one object"
  }
  foreach object $objects {
    foreach {property value} $pairs {
      v::check_property $object $property write
      if {[v::kind $object] eq "bd_cell"} {
        v::set_parameter $object [string range $property 7 end] $value
      } else {
        v::put $object $property $value
        v::changed $object $property $value
      }
    }
  }
}

v::command get_property {-quiet 0} "UG835, get_property" {
  v::need get_property 2 $rest
  lassign $rest property objects
  if {[llength $objects] == 0} {
    v::stop "\[Common 17-55\] 'get_property' expects at least one object"
  }
  set values {}
  foreach object $objects {
    v::check_property $object $property read
    if {[v::kind $object] eq "bd_cell" && [regexp {^CONFIG\.(.+)$} $property all parameter]} {
      lappend values [v::parameter_value $object $parameter]
    } else {
      lappend values [v::fetch $object $property]
    }
  }
  return [expr {[llength $values] == 1 ? [lindex $values 0] : $values}]
}

# A filter as UG835 gives it, comparisons of properties with words, && || ( ), as a Tcl condition
# on "object".
proc v::condition {filter object} {
  foreach name [regexp -all -inline {[A-Z_]{3,}(?=\s*(?:==|!=))} $filter] {
    v::check_property $object $name read
  }
  regsub -all {(==|!=)\s*([A-Za-z]\w*)} $filter {\1 "\2"} filter
  regsub -all {\m([A-Z_]{3,})\M(?=\s*(==|!=))} $filter {[v::fetch $object \1]} filter
  return $filter
}

proc v::changed {object property value} {}
