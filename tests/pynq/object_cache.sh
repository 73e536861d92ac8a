# OBJCACHE of Verilator's makefiles: sh object_cache.sh FOLDER COMPILER ARGUMENT...
#
# Keeps the objects of Verilator's own run-time library, which takes longer to compile than a
# small model and is the same in each.  An object is named after the command and the sources.
folder=$1
shift
output='' source='' before=''
for word; do
    [ "$before" = -o ] && output=$word
    case $word in */include/verilated*.cpp) source=$word ;; esac
    before=$word
done
if [ -z "$source" ] || [ -z "$output" ]; then
    exec "$@"
fi
name=$({ printf '%s\n' "$@"; cat "${source%/*}"/verilated*.h "$source"; } | sha256sum | cut -c 1-32)
if [ ! -f "$folder/$name.o" ]; then
    "$@" || exit
    mkdir -p "$folder"
    # whole or not at all: others may look for it now
    cp "$output" "$folder/$name.$$"
    mv "$folder/$name.$$" "$folder/$name.o"
else
    cp "$folder/$name.o" "$output"
fi
