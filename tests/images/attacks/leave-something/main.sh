[ -e /tmp/left ] && echo found
touch /tmp/left /dev/shm/left
(sleep 1000 > /dev/null 2>&1 &)
echo alone
