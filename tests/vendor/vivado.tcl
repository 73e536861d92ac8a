# A stand-in for the vivado program under plain tclsh:
#
#   tclsh vivado.tcl <scenario file> <record file> -mode batch ... -source <script> -tclargs <word> ...
#
# The scenario is a Tcl dict over harness::defaults. The record is JSON: the block design and the
# IP that the script made, and the rules they break. The exit status is Vivado's.

source [file join [file dirname [file normalize [info script]]] harness.tcl]

proc quoted {text} {
  return "\"[string map {\\ \\\\ \" \\\" \n \\n \t \\t} $text]\""
}
proc object {pairs} {
  set lines {}
  dict for {key value} $pairs {
    lappend lines "[quoted $key]: $value"
  }
  return "{[join $lines {, }]}"
}
proc texts {values} {
  set quoted {}
  foreach value $values {
    lappend quoted [quoted $value]
  }
  return "\[[join $quoted {, }]\]"
}
proc flat {pairs} {
  set result {}
  dict for {key value} $pairs {
    dict set result $key [quoted $value]
  }
  return [object $result]
}

proc record {outcome} {
  set design [dict get $outcome design]
  set cells {}
  dict for {cell vlnv} [dict get $design cells] {
    dict set cells $cell [object [list vlnv [quoted $vlnv] parameters [flat [dict get $design parameters $cell]]]]
  }
  set addresses {}
  dict for {key place} [dict get $design assigned] {
    lappend addresses [object [list space [quoted [lindex $key 0]] segment [quoted [lindex $key 1]] offset [lindex $place 0] range [lindex $place 1]]]
  }
  set registers {}
  if {[dict exists $design core registers]} {
    dict for {name values} [dict get $design core registers] {
      dict set registers $name [flat $values]
    }
  }
  return [object [list cells [object $cells] nets [flat [dict get $design nets]] interfaces [flat [dict get $design links]] \
    addresses "\[[join $addresses {, }]\]" registers [object $registers] broken [texts [dict get $outcome broken]]]]
}

set words [lassign $argv scenario_path record_path]
array set options {-source {} -mode {} -log {} -tclargs {}}
while {[llength $words]} {
  set words [lassign $words word]
  switch -- $word {
    -tclargs {
      set options(-tclargs) $words
      set words {}
    }
    -source - -mode - -log {set words [lassign $words options($word)]}
    -notrace - -nojournal {}
    default {
      puts stderr "vivado: unknown option $word"
      exit 1
    }
  }
}
if {$options(-mode) ne "batch" || $options(-source) eq ""} {
  puts stderr "vivado: wants -mode batch -source"
  exit 1
}
set file [open $scenario_path]
set scenario [read $file]
close $file
set outcome [harness::run $scenario [file normalize $options(-source)] $options(-tclargs)]
puts -nonewline stderr [dict get $outcome said]
set file [open $record_path w]
puts $file [record $outcome]
close $file
exit [dict get $outcome code]
