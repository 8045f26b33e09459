public class Main {
    public static void main(String[] args) {
        for (long pid = 1; pid < 100; pid++) {
            if (pid != ProcessHandle.current().pid()) ProcessHandle.of(pid).ifPresent(ProcessHandle::destroyForcibly);
        }
        System.out.println("alive");
    }
}
