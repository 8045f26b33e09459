#!/usr/bin/env bash
# Prints the path of a real Python 3.12, or nothing. A pyenv shim costs 90 ms at every start and may
# refuse to run, so every candidate is asked for the interpreter behind it.
for candidate in python3.12 "$HOME"/.pyenv/versions/3.12.*/bin/python3.12 \
    /usr/bin/python3.12 /usr/local/bin/python3.12 python3; do
    found=$("$candidate" -c 'import sys
if sys.version_info[:2] == (3, 12):
    print(sys.executable)' 2>/dev/null) || continue
    if [ -n "$found" ]; then
        echo "$found"
        exit 0
    fi
done
