{ echo "echo changed" > /program/main.sh || rm -f /program/main.sh || touch /program/new; } 2>/dev/null && echo changed
[ -e /program/main.sh ] && echo unchanged
