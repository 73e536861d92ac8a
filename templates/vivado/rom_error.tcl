# Read by the synthesis run, which is a process of its own. A memory file that is not found is
# a mere warning to Vivado, and the chip would compute with zeros.
set_msg_config -id {Synth 8-4445} -new_severity ERROR
