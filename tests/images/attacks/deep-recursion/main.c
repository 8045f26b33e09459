int f(int n) { volatile char here[1000]; here[n % 1000] = 1; return f(n + 1) + here[n % 7]; }
int main(void) { return f(0); }
