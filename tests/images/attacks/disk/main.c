#include <signal.h>
#include <stdio.h>
int main(void) {
    static char block[1 << 16];
    signal(SIGXFSZ, SIG_IGN);
    for (int file = 0; file < 1000; file++) {
        char name[32];
        snprintf(name, sizeof name, "f%d", file);
        FILE *out = fopen(name, "w");
        if (!out) { puts("full"); return 0; }
        for (int i = 0; i < 100; i++)
            if (fwrite(block, 1, sizeof block, out) < sizeof block || fflush(out)) { puts("full"); return 0; }
        fclose(out);
    }
    puts("there was room for 6 GB");
}
