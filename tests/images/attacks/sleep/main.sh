read -r -t 1000 <> <(:)
kill -STOP $$
