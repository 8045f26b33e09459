#include <stdio.h>
#include <unistd.h>
int main(void) { puts(fork() < 0 && execl("/proc/self/exe", "x", (char *)0) < 0 ? "refused" : "started"); }
