if true; then $(($(($((
