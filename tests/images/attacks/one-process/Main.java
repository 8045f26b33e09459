public class Main {
    public static void main(String[] args) {
        try {
            new ProcessBuilder("/proc/self/exe").start();
            System.out.println("started");
        } catch (java.io.IOException refused) {
            System.out.println("refused");
        }
    }
}
