# All the way to out/pynq: vivado -mode batch -source build.tcl -tclargs <rtl|hls> <jobs>

source [file join [file dirname [file normalize [info script]]] lib.tcl]
foreach script {settings package design check} {
  source [file join $here $script.tcl]
}

lassign $argv pe jobs
if {$pe ni {rtl hls} || ![string is integer -strict $jobs] || $jobs < 1} {
  fail "arguments" "they are <rtl|hls> <jobs>, not '$argv'" "Call make bitstream PE=rtl JOBS=4"
}
check_environment

# An older result next to a failed build would be taken for its result.
set delivered [list utilisation.json timing.json $name.hwh $name.bit]
file delete {*}[under $pynq $delivered]

set ip [file join $work ip]
package_ip $pe $ip
make_design $ip

set_property STEPS.SYNTH_DESIGN.TCL.PRE [file join $here rom_error.tcl] [get_runs synth_1]
launch_runs synth_1 -jobs $jobs
wait_for synth_1
check_run synth_1 synth_design
check_log synth_1
launch_runs impl_1 -to_step route_design -jobs $jobs
wait_for impl_1
check_run impl_1 route_design
check_log impl_1

open_run impl_1
file mkdir $reports
check_netlist
set timing [check_timing_met]
set figures [utilisation]

# Everything holds: only now is there a bitstream. Files come under passing names first, the
# bitstream last, so that a folder with a bitstream has the rest of it.
set ready [file join $work ready]
file delete -force $ready
file mkdir $ready $pynq
write_bitstream [file join $ready $name.bit]
set hwh [glob -directory [file join $work project] -nocomplain *.gen/sources_1/bd/$design/hw_handoff/$design.hwh]
require_files [list [file join $ready $name.bit]] "Report this, with the version of Vivado"
if {[llength $hwh] != 1} {
  fail $design.hwh "Vivado wrote [llength $hwh] of it, where one was due" "Report this, with the version of Vivado"
}
file copy [lindex $hwh 0] [file join $ready $name.hwh]
set source [list source synthesised pe $pe board $board part $part vivado [version -short]]
write_text [file join $ready timing.json] [json $source $timing]
write_text [file join $ready utilisation.json] [json $source $figures]
foreach file $delivered {
  file copy -force [file join $ready $file] [file join $pynq $file.part]
  file rename [file join $pynq $file.part] [file join $pynq $file]
}
puts "xnorhw: [file join $pynq $name.bit] at [dict get $timing clock_mhz] MHz, slack [dict get $timing wns_ns] ns"
