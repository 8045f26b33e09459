public class Main {
    public static void main(String[] args) throws Exception {
        for (;;) {
            try {
                new ProcessBuilder("/proc/self/exe", "-cp", "/program", "Main").start();
            } catch (java.io.IOException full) {
            }
        }
    }
}
