cat /tmp/* /program/* /tests/* /proc/1/environ /proc/1/cmdline /proc/self/environ /proc/*/cmdline 2>/dev/null
ls -lR /tmp /program /proc/1 /proc/self/fd 2>/dev/null
env
for fd in 3 4 5 6 7 8 9; do cat <&$fd; done 2>/dev/null
exit 0
