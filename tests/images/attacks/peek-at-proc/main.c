#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
int main(void) {
    const char *files[] = {"/proc/1/mem", "/proc/1/environ", "/proc/1/maps", "/proc/1/fd/3", "/proc/kcore", "/proc/kallsyms",
                           "/proc/sys/kernel/core_pattern", "/sys/kernel", "/sys/fs/cgroup"};
    for (unsigned i = 0; i < sizeof files / sizeof *files; i++)
        if (open(files[i], O_RDWR) >= 0 || open(files[i], O_RDONLY) >= 0) { printf("%s\n", files[i]); return 0; }
    DIR *all = opendir("/proc");
    for (struct dirent *one; all && (one = readdir(all));)
        if (isdigit((unsigned char)*one->d_name) && atoi(one->d_name) != 1 && atoi(one->d_name) != getpid()) {
            printf("process %s\n", one->d_name);
            return 0;
        }
    puts("nothing");
}
