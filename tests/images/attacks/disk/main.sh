for i in $(seq 1000); do
  head -c 6000000 /dev/zero > "f$i" 2>/dev/null || { echo full; exit 0; }
done
echo "there was room for 6 GB"
