#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
int main(void) {
    const char *places[] = {"/tmp/left", "/dev/shm/left", "left"};
    int found = 0;
    for (int i = 0; i < 3; i++) found |= access(places[i], F_OK) == 0;
    for (int i = 0; i < 3; i++) open(places[i], O_CREAT | O_WRONLY, 0666);
    puts(found ? "found" : "alone");
    fflush(stdout);
    if (fork() == 0) {
        setsid();
        close(0); close(1); close(2);
        for (;;) pause();
    }
}
