# Deletes one command of the scripts at a time and asks whether any scenario comes out otherwise.
#
#   tclsh deletions.tcl <scenarios file> <part> <parts> ?<script> ...?
#
# The scenarios file is a Tcl list of {name folder words scenario seeded}: a build folder, the
# script's arguments, the stand-in's scenario, and 1 where an earlier good run has left its files.
# Prints a line "<how> <tab> <scenario> <tab> <file>:<line> <tab> <text>" a deletion; how is
# "error" (a good build now fails), "rule" (the design breaks a rule), "delivered" (a bad build now
# gets through), "other" (another message, design, or file) or "unnoticed".

source [file join [file dirname [file normalize [info script]]] harness.tcl]

# To find the scenario that notices a deletion soon, the scripts first run once with a mark before
# each command: a deletion can only be noticed where the command runs, and most likely where a
# command inside of it runs that a good build does not reach.

# The commands of a script as {first last kind} in character positions, bodies of control structures
# and lines of option lists included; kind is "command" or "entry".
proc commands {text start} {
  set spans {}
  set first -1
  set command ""
  set position 0
  foreach line [split $text \n] {
    set end [expr {$position + [string length $line]}]
    if {$first < 0} {
      if {[string trim $line] eq "" || [string match {#*} [string trim $line]]} {
        set position [expr {$end + 1}]
        continue
      }
      set first $position
      set command ""
    }
    append command $line \n
    if {[info complete $command] && ![string match "*\\\\" $line]} {
      lappend spans [list [expr {$start + $first}] [expr {$start + $end}] command]
      lappend spans {*}[inner $command [expr {$start + $first}]]
      set first -1
    }
    set position [expr {$end + 1}]
  }
  return $spans
}

proc inner {command start} {
  set word [lindex [split [string trim $command]] 0]
  set spans {}
  if {$word in {proc if foreach}} {
    foreach body [bodies $command] {
      lassign $body first last
      lappend spans {*}[commands [string range $command $first $last] [expr {$start + $first}]]
    }
    return $spans
  }
  # entries of an option list or of a table: a line each
  set entry [expr {$word eq "set" ? {^\s+\S} : {^\s+CONFIG\.}}]
  set position 0
  foreach line [split $command \n] {
    set end [expr {$position + [string length $line]}]
    if {$position > 0 && [regexp $entry $line]} {
      lappend spans [list [expr {$start + $position}] [expr {$start + $end}] entry]
    }
    set position [expr {$end + 1}]
  }
  return $spans
}

# Braced words that span lines, by position of their contents; of a foreach only the last.
proc bodies {command} {
  set found {}
  set depth 0
  for {set i 0} {$i < [string length $command]} {incr i} {
    switch -- [string index $command $i] {
      \\ {incr i}
      \{ {
        if {$depth == 0} {
          set first [expr {$i + 1}]
        }
        incr depth
      }
      \} {
        incr depth -1
        if {$depth == 0 && [string first \n [string range $command $first $i]] >= 0} {
          lappend found [list $first [expr {$i - 1}]]
        }
      }
    }
  }
  return $found
}

proc slurp {path} {
  set file [open $path]
  set text [read $file]
  close $file
  return $text
}

proc tree {directory} {
  set found {}
  foreach path [lsort [glob -nocomplain -directory $directory *]] {
    if {[file isfile $path]} {
      dict set found [file tail $path] [slurp $path]
    }
  }
  return $found
}

proc reset {folder seeded} {
  file delete -force [file join $folder vivado work]
  foreach name {accel.bit accel.hwh timing.json utilisation.json accel.bit.part accel.hwh.part timing.json.part utilisation.json.part} {
    file delete [file join $folder pynq $name]
  }
  if {$seeded} {
    file copy [file join $folder seed work] [file join $folder vivado work]
    foreach path [glob -directory [file join $folder seed pynq] *] {
      file copy -force $path [file join $folder pynq]
    }
  }
}

proc outcome {scene texts} {
  lassign $scene name folder words scenario seeded
  reset $folder $seeded
  set result [harness::run $scenario [file join $folder vivado build.tcl] $words $texts]
  dict set result pynq [tree [file join $folder pynq]]
  dict set result reports [tree [file join $folder vivado work reports]]
  return $result
}

proc judge {was is} {
  if {$was eq $is} {
    return unnoticed
  }
  if {[dict get $was code] == 0 && [dict get $is code] != 0} {
    return error
  }
  if {[dict get $was code] != 0 && [dict exists $is pynq accel.bit]} {
    return delivered
  }
  if {[dict get $is broken] ne {}} {
    return rule
  }
  return other
}

set names [lassign $argv path part parts]
if {$names eq {}} {
  set names {build.tcl lib.tcl package.tcl design.tcl check.tcl settings.tcl rom_error.tcl}
}
set scenes [slurp $path]

set folder [lindex $scenes 0 1]
# what an earlier good run leaves, for the seeded scenarios
foreach scene $scenes {
  lassign $scene name place words scenario seeded
  if {$seeded && ![file exists [file join $place seed]]} {
    outcome [list $name $place $words [lindex $scenes 0 3] 0] {}
    file mkdir [file join $place seed]
    file copy [file join $place vivado work] [file join $place seed work]
    file copy [file join $place pynq] [file join $place seed pynq]
  }
}
set expected {}
foreach scene $scenes {
  lappend expected [outcome $scene {}]
}
if {$part eq "show"} {
  foreach scene $scenes was $expected {
    puts "[lindex $scene 0]\t[dict get $was code]\t[dict exists $was pynq accel.bit]\t[string map {\n { / }} [string trim [dict get $was said]]]\t[dict get $was broken]"
  }
  exit
}

set marked {}
foreach name $names {
  set text($name) [slurp [file join $folder vivado $name]]
  set spans($name) [commands $text($name) 0]
  set with $text($name)
  foreach span [lsort -integer -decreasing -index 0 $spans($name)] {
    if {[lindex $span 2] eq "command" && $name ne "rom_error.tcl"} {
      set with [string range $with 0 [expr {[lindex $span 0] - 1}]]harness_mark\ $name:[lindex $span 0]\;[string range $with [lindex $span 0] end]
    }
  }
  dict set marked $name $with
}
set reached {}
foreach scene $scenes was $expected {
  set ::harness::marks {}
  if {[outcome $scene $marked] ne $was} {
    error "[lindex $scene 0]: the marks changed the outcome"
  }
  lappend reached $::harness::marks
}

# The scenarios to ask of a span, the likeliest first.
proc order {name span} {
  global scenes reached spans
  lassign $span first last kind
  set inside {}
  set own ""
  foreach other $spans($name) {
    if {[lindex $other 2] eq "command"} {
      if {[lindex $other 0] >= $first && [lindex $other 1] <= $last} {
        lappend inside $name:[lindex $other 0]
      }
      if {[lindex $other 0] <= $first && [lindex $other 1] >= $last} {
        set own $name:[lindex $other 0]
      }
    }
  }
  set good [lindex $reached 0]
  set ranked {}
  for {set i 0} {$i < [llength $scenes]} {incr i} {
    set marks [lindex $reached $i]
    if {$name eq "rom_error.tcl" || $own eq "" || [dict exists $marks $own]} {
      set new 0
      foreach mark $inside {
        if {[dict exists $marks $mark] && ![dict exists $good $mark]} {
          set new 1
        }
      }
      lappend ranked [list $i [expr {$i == 0 ? 2 : $new}]]
    }
  }
  set indices {}
  foreach entry [lsort -integer -decreasing -index 1 $ranked] {
    lappend indices [lindex $entry 0]
  }
  return $indices
}

set number 0
foreach name $names {
  foreach span $spans($name) {
    incr number
    if {$number % $parts != $part} {
      continue
    }
    lassign $span first last
    set mutant [string replace $text($name) $first [expr {$last - 1}] ""]
    set how unnoticed
    set where ""
    foreach i [order $name $span] {
      set how [judge [lindex $expected $i] [outcome [lindex $scenes $i] [dict create $name $mutant]]]
      if {$how ne "unnoticed"} {
        set where [lindex $scenes $i 0]
        break
      }
    }
    set line [llength [split [string range $text($name) 0 $first] \n]]
    set shown [string trim [lindex [split [string trim [string range $text($name) $first $last]] \n] 0]]
    puts "$how\t$where\t$name:$line\t$shown"
  }
}
