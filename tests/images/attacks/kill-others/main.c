#include <signal.h>
#include <stdio.h>
#include <unistd.h>
int main(void) {
    kill(1, SIGKILL);
    kill(1, SIGSTOP);
    kill(-1, SIGKILL);
    kill(getppid(), SIGKILL);
    for (int pid = 2; pid < 40000; pid++)
        if (pid != getpid()) kill(pid, SIGKILL);
    puts("alive");
}
