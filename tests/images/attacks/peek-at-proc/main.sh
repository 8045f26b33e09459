for file in /proc/1/mem /proc/1/environ /proc/1/maps /proc/kcore /proc/kallsyms /proc/sys/kernel/core_pattern; do
  head -c 1 "$file" > /dev/null 2>&1 && echo "$file"
done
[ -e /sys/fs/cgroup ] && echo cgroups
echo nothing
