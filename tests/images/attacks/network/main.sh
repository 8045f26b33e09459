(exec 3<>/dev/tcp/127.0.0.1/{{PORT}}) 2>/dev/null && echo connected
echo none
