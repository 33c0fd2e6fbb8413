# shellcheck shell=sh
# What the programs of a pretended device share. Each fact is a file of one line in $S; a file is
# replaced, never rewritten, so that whoever reads it sees a whole line.
S=/data/state
CPU=/sys/devices/system/cpu

# Set V to a fact; $2 if there is none.
fact() { V=$2; [ -f "$S/$1" ] && IFS= read -r V <"$S/$1"; :; }

put() {
    printf '%s\n' "$2" >"$S/.$$.new" && mv -f "$S/.$$.new" "$S/$1"
}

# Add a command that changes a setting to the journal.
note() { printf '%s\n' "${0##*/} $*" >>"$S/journal"; }

# Replace a file of /sys, which programs on the device cannot write.
give() {
    IFS= read -r V <"$1" && [ "$V" = "$2" ] && return
    printf '%s\n' "$2" >"$1.new" && chmod "$3" "$1.new" && mv -f "$1.new" "$1"
}

# Let clocks and temperatures follow the facts.
apply() {
    fact clock_percent 100; p=$V
    fact fixed_performance 0; if [ "$V" = 1 ] && [ "$p" -gt 75 ]; then p=75; fi
    fact settings/global/low_power 0; if [ "$V" = 1 ] && [ "$p" -gt 60 ]; then p=60; fi
    for policy in "$CPU"/cpufreq/policy*; do
        IFS= read -r most <"$policy/cpuinfo_max_freq"
        cap=$((most * p / 100))
        [ -e $S/android ] && give "$policy/scaling_max_freq" $cap 444
        give "$policy/scaling_cur_freq" $cap 444
    done
    for zone in /sys/class/thermal/thermal_zone*; do
        [ -r "$zone/temp" ] || continue
        IFS= read -r kind <"$zone/type"
        case $kind in
        skin*) fact skin_mc ;;
        batt*) fact battery_mc ;;
        *) fact cpu_mc ;;
        esac
        give "$zone/temp" "$V" 444
    done
    power=/sys/class/power_supply/battery
    if [ -d $power ]; then
        fact battery_percent; give $power/capacity "$V" 444
        fact battery_mc; give $power/temp $((V / 100)) 444
    fi
}

# Print thousandths as a decimal number.
degrees() { printf '%d.%d' $(($1 / 1000)) $(($1 % 1000 / 100)); }
