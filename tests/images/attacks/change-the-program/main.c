#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
int main(void) {
    int changed = open("/program/program", O_RDWR) >= 0 || open("/program/new", O_CREAT | O_WRONLY, 0644) >= 0 ||
                  unlink("/program/program") == 0 || chmod("/program/program", 0) == 0 ||
                  rename("/program", "/tmp/p") == 0 || symlink("/tmp/x", "/program/y") == 0;
    puts(changed ? "changed" : "unchanged");
}
