#include <stdio.h>
#include <sys/ptrace.h>
int main(void) { printf("%ld\n", ptrace(PTRACE_ATTACH, 1, 0, 0)); }
