# Block designs: cells, pins, nets, addresses, validation (UG994).

namespace eval v {
  variable ips {}
  variable cells {}      ;# cell -> vlnv
  variable shapes {}     ;# cell -> its pins and interfaces, until a parameter changes
  variable parameters {} ;# cell -> parameters that were set
  variable nets {}       ;# pin -> driver
  variable links {}      ;# interface pin -> interface pin, or "external"
  variable assigned {}   ;# "space segment" -> {offset range}
  variable excluded {}
  variable bd {name {} validated 0 saved 0 generated 0}
}

proc v::touched {} {
  variable bd
  foreach key {validated saved generated} {
    dict set bd $key 0
  }
}

# The pins and interfaces that a cell has with its parameters as they are.
proc v::shape {cell} {
  variable shapes
  if {![dict exists $shapes $cell]} {
    dict set shapes $cell [v::make_shape $cell]
  }
  return [dict get $shapes $cell]
}
proc v::make_shape {cell} {
  variable ips
  variable cells
  set definition [dict get $ips [dict get $cells $cell]]
  foreach {name default legal} [dict get $definition parameters] {
    set $name [v::parameter_value bd_cell:/$cell $name]
  }
  set pins {}
  set interfaces {}
  eval [dict get $definition body]
  set short [lindex [split [dict get $cells $cell] :] 2]
  foreach {ip name direction type} [v::want extra_pins] {
    if {$ip eq $short} {
      pin $name $direction $type
    }
  }
  foreach {ip name mode type} [v::want extra_interfaces] {
    if {$ip eq $short} {
      interface $name $mode $type
    }
  }
  return [list $pins $interfaces]
}
proc v::pin {name direction type} {
  upvar 1 pins pins
  dict set pins $name [list $direction $type]
}
proc v::interface {name mode type args} {
  upvar 1 interfaces interfaces
  dict set interfaces $name [dict merge {width 0 clock {} reset {} space {} segment {} open 0 window {}} [list mode $mode type $type port $name] $args]
}

proc v::declared {object parameter} {
  variable ips
  variable cells
  set vlnv [dict get $cells [string range [v::name $object] 1 end]]
  foreach {name default legal} [dict get $ips $vlnv parameters] {
    if {$name eq $parameter} {
      return [list $default $legal]
    }
  }
  v::stop "\[Common 17-58\] CONFIG.$parameter is no parameter of $vlnv"
}

proc v::check_parameter {object parameter} {
  v::declared $object $parameter
}

proc v::set_parameter {object parameter value} {
  variable parameters
  lassign [v::declared $object $parameter] default legal
  if {$legal eq "number" ? ![string is double -strict $value] : ($legal ne "text" && $value ni $legal)} {
    v::stop "\[IP_Flow 19-3461\] Value '$value' is out of the range of $parameter: $legal"
  }
  dict set parameters [string range [v::name $object] 1 end] $parameter $value
  dict unset ::v::shapes [string range [v::name $object] 1 end]
  v::touched
}

proc v::parameter_value {object parameter} {
  variable parameters
  set cell [string range [v::name $object] 1 end]
  if {[dict exists $parameters $cell $parameter]} {
    return [dict get $parameters $cell $parameter]
  }
  return [lindex [v::declared $object $parameter] 0]
}

v::command get_ipdefs {-quiet 0 -all 0 -name 0 -filter 1} "UG835, get_ipdefs" {
  set found {}
  foreach vlnv [dict keys $::v::ips [lindex $rest 0]] {
    if {$vlnv ni [v::want ips_missing]} {
      v::put ipdef:$vlnv VLNV $vlnv
      lappend found ipdef:$vlnv
    }
  }
  # an installation has older versions beside the newest
  if {$found eq "ipdef:xilinx.com:ip:axi_dma:7.1"} {
    v::put ipdef:xilinx.com:ip:axi_dma:7.0 VLNV xilinx.com:ip:axi_dma:7.0
    lappend found ipdef:xilinx.com:ip:axi_dma:7.0
  }
  return $found
}

v::command create_bd_design {-dir 1 -quiet 0} "UG835, create_bd_design" {
  v::need create_bd_design 1 $rest
  v::current
  dict set ::v::bd name [lindex $rest 0]
  v::put file:$rest.bd SYNTH_CHECKPOINT_MODE Hierarchical
  v::add_project_file $rest.bd
}

v::command create_bd_cell {-type 1 -vlnv 1 -reference 1 -quiet 0} "UG835, create_bd_cell" {
  v::need create_bd_cell 1 $rest
  if {[dict get $::v::bd name] eq ""} {
    v::stop "\[BD 5-2\] there is no block design"
  }
  if {![info exists opt(-type)] || $opt(-type) ne "ip" || ![info exists opt(-vlnv)]} {
    v::stop "\[BD 5-3\] create_bd_cell wants -type ip -vlnv"
  }
  if {![dict exists $::v::ips $opt(-vlnv)]} {
    v::stop "\[BD 5-216\] VLNV <$opt(-vlnv)> is not supported by the current repository"
  }
  set cell [lindex $rest 0]
  if {[dict exists $::v::cells $cell]} {
    v::stop "\[BD 5-4\] there is a cell $cell already"
  }
  dict set ::v::cells $cell $opt(-vlnv)
  dict set ::v::parameters $cell {}
  v::put bd_cell:/$cell NAME $cell
  v::touched
  return bd_cell:/$cell
}

# All pins (or interfaces) of a cell as objects.
proc v::pins_of {cell kind} {
  lassign [v::shape $cell] pins interfaces
  set found {}
  if {$kind eq "bd_pin"} {
    dict for {name pin} $pins {
      set object bd_pin:/$cell/$name
      v::put $object NAME $name
      v::put $object DIR [lindex $pin 0]
      v::put $object TYPE [lindex $pin 1]
      lappend found $object
    }
  } else {
    dict for {name interface} $interfaces {
      set object bd_intf_pin:/$cell/$name
      v::put $object NAME $name
      v::put $object MODE [string totitle [dict get $interface mode]]
      lappend found $object
    }
  }
  return $found
}

proc v::find_pins {kind array rest} {
  upvar 1 $array opt
  set found {}
  if {[info exists opt(-of_objects)]} {
    foreach cell $opt(-of_objects) {
      v::expect $cell bd_cell
      lappend found {*}[v::pins_of [string range [v::name $cell] 1 end] $kind]
    }
  }
  foreach pattern $rest {
    lassign [split [string trimleft $pattern /] /] cell
    if {[dict exists $::v::cells $cell]} {
      foreach object [v::pins_of $cell $kind] {
        if {[string match /[string trimleft $pattern /] [v::name $object]]} {
          lappend found $object
        }
      }
    }
  }
  if {[info exists opt(-filter)]} {
    set kept {}
    if {$found ne {}} {
      set condition [v::condition $opt(-filter) [lindex $found 0]]
    }
    foreach object $found {
      if $condition {
        lappend kept $object
      }
    }
    return $kept
  }
  return $found
}

v::command get_bd_cells {-quiet 0 -hierarchical 0 -filter 1 -of_objects 1} "UG835, get_bd_cells" {
  set found {}
  foreach cell [dict keys $::v::cells] {
    if {$rest eq {} || $cell in $rest} {
      lappend found bd_cell:/$cell
    }
  }
  return $found
}
v::command get_bd_pins {-quiet 0 -filter 1 -of_objects 1} "UG835, get_bd_pins" {
  return [v::find_pins bd_pin opt $rest]
}
v::command get_bd_intf_pins {-quiet 0 -filter 1 -of_objects 1} "UG835, get_bd_intf_pins" {
  return [v::find_pins bd_intf_pin opt $rest]
}
v::command get_bd_nets {-quiet 0 -of_objects 1} "UG835, get_bd_nets" {
  v::expect $opt(-of_objects) bd_pin
  set pin [v::name $opt(-of_objects)]
  return [expr {[dict exists $::v::nets $pin] ? "bd_net:[dict get $::v::nets $pin]" : ""}]
}
v::command get_bd_intf_nets {-quiet 0 -of_objects 1} "UG835, get_bd_intf_nets" {
  v::expect $opt(-of_objects) bd_intf_pin
  set pin [v::name $opt(-of_objects)]
  return [expr {[dict exists $::v::links $pin] ? "bd_intf_net:$pin" : ""}]
}

v::command connect_bd_net {-net 1 -quiet 0} "UG835, connect_bd_net" {
  set drivers {}
  set sinks {}
  foreach object $rest {
    v::expect $object bd_pin
    if {[v::fetch $object DIR] eq "O"} {
      lappend drivers [v::name $object]
    } else {
      lappend sinks [v::name $object]
    }
  }
  if {[llength $drivers] != 1 || $sinks eq {}} {
    v::stop "\[BD 41-1306\] a net has one driver and sinks, not '$drivers' and '$sinks'"
  }
  foreach sink $sinks {
    if {[dict exists $::v::nets $sink]} {
      v::stop "\[BD 41-1731\] $sink is connected already"
    }
    dict set ::v::nets $sink $drivers
  }
  dict set ::v::nets $drivers $drivers
  v::touched
}

v::command connect_bd_intf_net {-intf_net 1 -boundary_type 1 -quiet 0} "UG835, connect_bd_intf_net" {
  if {[llength $rest] != 2} {
    v::stop "\[BD 5-6\] connect_bd_intf_net wants two interface pins, not '$rest'"
  }
  set ends {}
  foreach object $rest {
    v::expect $object bd_intf_pin
    set path [v::name $object]
    if {[dict exists $::v::links $path]} {
      v::stop "\[BD 41-1377\] the interface pin $path is connected already"
    }
    lassign [split $path /] _ cell name
    lappend ends [dict get [lindex [v::shape $cell] 1] $name]
  }
  lassign $ends one two
  if {[dict get $one type] ne [dict get $two type] || [dict get $one mode] eq [dict get $two mode]} {
    v::stop "\[BD 41-703\] $rest cannot be connected: [dict get $one mode] [dict get $one type], [dict get $two mode] [dict get $two type]"
  }
  dict set ::v::links [v::name [lindex $rest 0]] [v::name [lindex $rest 1]]
  dict set ::v::links [v::name [lindex $rest 1]] [v::name [lindex $rest 0]]
  v::touched
}

v::command make_bd_intf_pins_external {-name 1 -quiet 0} "UG835, make_bd_intf_pins_external" {
  v::need make_bd_intf_pins_external 1 $rest
  v::expect $rest bd_intf_pin
  if {[dict exists $::v::links [v::name $rest]]} {
    v::stop "\[BD 41-1377\] the interface pin [v::name $rest] is connected already"
  }
  dict set ::v::links [v::name $rest] external:$opt(-name)
  v::touched
}

# All address segments of slaves: path -> bytes.
proc v::segments {} {
  set found {}
  foreach cell [dict keys $::v::cells] {
    dict for {name interface} [lindex [v::shape $cell] 1] {
      foreach {segment bytes} [dict get $interface segment] {
        dict set found /$cell/[dict get $interface port]/$segment [list $bytes /$cell/$name]
      }
    }
  }
  return $found
}

# The segments that a master of an address space reaches, through interconnects.
proc v::reachable {master} {
  if {![dict exists $::v::links $master]} {
    return {}
  }
  set slave [dict get $::v::links $master]
  lassign [split $slave /] _ cell name
  if {[string match *:smartconnect:* [dict get $::v::cells $cell]]} {
    set found {}
    dict for {port interface} [lindex [v::shape $cell] 1] {
      if {[dict get $interface mode] eq "master"} {
        lappend found {*}[v::reachable /$cell/$port]
      }
    }
    return $found
  }
  set found {}
  dict for {path segment} [v::segments] {
    if {[lindex $segment 1] eq $slave} {
      lappend found $path
    }
  }
  return $found
}

# Address spaces: path -> {interface pin, window}.
proc v::spaces {} {
  set found {}
  foreach cell [dict keys $::v::cells] {
    dict for {name interface} [lindex [v::shape $cell] 1] {
      if {[dict get $interface space] ne ""} {
        dict lappend found /$cell/[dict get $interface space] /$cell/$name [dict get $interface window]
      }
    }
  }
  return $found
}

v::command get_bd_addr_spaces {-quiet 0 -of_objects 1} "UG835, get_bd_addr_spaces" {
  v::need get_bd_addr_spaces 1 $rest
  if {[dict exists [v::spaces] /$rest]} {
    return bd_addr_space:/$rest
  }
}
v::command get_bd_addr_segs {-quiet 0 -of_objects 1} "UG835, get_bd_addr_segs" {
  v::need get_bd_addr_segs 1 $rest
  set found {}
  foreach path [dict keys [v::segments] /[string trimleft $rest /]] {
    v::put bd_addr_seg:$path NAME [lindex [split $path /] end]
    lappend found bd_addr_seg:$path
  }
  return $found
}

proc v::reaches {space segment} {
  foreach {master window} [dict get [v::spaces] $space] {
    if {$segment in [v::reachable $master]} {
      return [list 1 $window]
    }
  }
  return {0 {}}
}

v::command assign_bd_address {-target_address_space 1 -offset 1 -range 1 -force 0 -quiet 0} "UG835, assign_bd_address" {
  v::need assign_bd_address 1 $rest
  v::expect $rest bd_addr_seg
  v::expect $opt(-target_address_space) bd_addr_space
  set space [v::name $opt(-target_address_space)]
  set segment [v::name $rest]
  lassign [v::reaches $space $segment] reached window
  if {!$reached} {
    v::stop "\[BD 41-1075\] $segment is not reached from $space"
  }
  if {$opt(-range) & ($opt(-range) - 1) || $opt(-offset) % $opt(-range) || $opt(-range) < 4096} {
    v::stop "\[BD 41-1082\] offset $opt(-offset) and range $opt(-range): a range is a power of two of at least 4K, an offset a multiple of it"
  }
  if {$window ne "" && ($opt(-offset) < [lindex $window 0] || $opt(-offset) + $opt(-range) > [lindex $window 0] + [lindex $window 1])} {
    v::stop "\[BD 41-1083\] $opt(-offset) lies outside of what $space can address: $window"
  }
  dict for {key place} $::v::assigned {
    lassign $place offset range
    if {[lindex $key 0] eq $space && $opt(-offset) < $offset + $range && $offset < $opt(-offset) + $opt(-range)} {
      v::stop "\[BD 41-1084\] $segment overlaps [lindex $key 1]"
    }
  }
  dict set ::v::assigned [list $space $segment] [list [expr {$opt(-offset)}] [expr {$opt(-range)}]]
  v::touched
}

v::command exclude_bd_addr_seg {-target_address_space 1 -offset 1 -range 1 -quiet 0} "UG835, exclude_bd_addr_seg" {
  v::need exclude_bd_addr_seg 1 $rest
  v::expect $rest bd_addr_seg
  v::expect $opt(-target_address_space) bd_addr_space
  lappend ::v::excluded [list [v::name $opt(-target_address_space)] [v::name $rest]]
  v::touched
}

# Pins and interfaces that stay open without harm: those with idle values of their own.
proc v::may_stay_open {cell name} {
  return [expr {$name in {aux_reset_in mb_debug_sys_rst dcm_locked}}]
}

# As UG994 tells it: errors for clocks and mismatches, warnings for the rest. The critical
# warnings are kept and fail the stand-in's own rules.
v::command validate_bd_design {-force 0 -design 1 -quiet 0} "UG835, validate_bd_design" {
  set ::v::criticals {}
  foreach {cell parameter value} [v::want adjusted] {
    dict set ::v::parameters $cell $parameter $value
    set ::v::shapes {}
  }
  foreach cell [dict keys $::v::cells] {
    lassign [v::shape $cell] pins interfaces
    dict for {name pin} $pins {
      if {$pin eq {I clk} && ![dict exists $::v::nets /$cell/$name] && [v::want extra_pins] eq {}} {
        v::stop "\[BD 41-758\] The following clock pins are not connected to a valid clock source: /$cell/$name"
      }
    }
    dict for {name interface} $interfaces {
      if {[dict get $interface type] eq "axis" && [dict exists $::v::links /$cell/$name]} {
        lassign [split [dict get $::v::links /$cell/$name] /] _ other port
        set width [dict get [lindex [v::shape $other] 1] $port width]
        if {$width != [dict get $interface width]} {
          v::stop "\[BD 41-237\] Bus Interface property TDATA_NUM_BYTES does not match between /$cell/$name and /$other/$port: [dict get $interface width] and $width bits"
        }
      }
    }
  }
  dict for {space masters} [v::spaces] {
    foreach {master window} $masters {
      foreach segment [v::reachable $master] {
        if {![dict exists $::v::assigned [list $space $segment]] && [list $space $segment] ni $::v::excluded} {
          lappend ::v::criticals "\[BD 41-1356\] $segment is neither assigned to nor excluded from $space"
        }
      }
    }
  }
  dict set ::v::bd validated 1
}

v::command save_bd_design {-quiet 0} "UG835, save_bd_design" {
  dict set ::v::bd saved 1
}
