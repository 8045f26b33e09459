char data[1u << 31] = {1};
int main(void) { return data[12345]; }
